variable "root" {
  type        = string
  default     = null
  description = "The top of a checkout of the bookstore; null is the one that holds this module."

  validation {
    condition     = var.root == null || fileexists("${coalesce(var.root, ".")}/jobs/secrets.hcl")
    error_message = "There is no jobs/secrets.hcl in this folder: it is not a checkout of the bookstore."
  }
}

variable "existing" {
  type        = bool
  description = "Whether the shop has its passwords already: then none of them is changed. false on a shop that has some replaces every one."
  nullable    = false

  validation {
    condition     = var.existing || var.revision == 1
    error_message = "A later revision adds to what is there: existing = true."
  }
}

variable "added" {
  type        = set(string)
  default     = []
  description = "Jobs of jobs/secrets.hcl that have no variable yet, although existing is true: a newer version brought them."

  validation {
    condition     = length(var.added) == 0 || var.existing
    error_message = "Without existing, all of them are made."
  }
}

variable "revision" {
  type        = number
  default     = 1
  description = "One more than before where a newer version wants another secret in a variable that is there: only what is missing is written."

  validation {
    condition     = var.revision >= 1 && floor(var.revision) == var.revision
    error_message = "A whole number, from 1."
  }
}

variable "agent_ca" {
  type        = string
  description = "PEM: the certificate that the agents are verified by, /etc/bookstore/ca.pem on each machine. It is no secret."
  nullable    = false

  validation {
    condition     = startswith(var.agent_ca, "-----BEGIN CERTIFICATE-----")
    error_message = "A certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."
  }
}

variable "certificates" {
  type = object({
    s3_certificate   = optional(string)
    s3_private_key   = optional(string)
    door_certificate = optional(string)
    door_private_key = optional(string)
  })
  default     = {}
  ephemeral   = true
  description = "PEM: the certificates of the S3 server and of the door with their keys ('go tool shop terraform prepare' makes them). What is there stays."

  validation {
    condition     = var.existing || alltrue([for text in values(var.certificates) : text != null])
    error_message = "A shop that has no certificates yet needs all of them: 'go tool shop terraform prepare' makes them."
  }
}
