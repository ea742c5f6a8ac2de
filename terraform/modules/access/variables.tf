variable "root" {
  type        = string
  default     = null
  description = "The top of a checkout of the bookstore; null is the one that holds this module."

  validation {
    condition     = var.root == null || length(fileset(coalesce(var.root, "."), "jobs/acl/consul/*.hcl")) > 0
    error_message = "There is no jobs/acl/consul/*.hcl in this folder: it is not a checkout of the bookstore."
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

variable "jwks_url" {
  type        = string
  default     = "https://127.0.0.1:4646/.well-known/jwks.json"
  description = "Where Consul's servers find the keys that Nomad signs identities with: an agent of Nomad runs beside each."

  validation {
    condition     = startswith(var.jwks_url, "https://")
    error_message = "An https address."
  }
}
