variable "nomad_address" {
  type        = string
  default     = "https://127.0.0.1:4646"
  description = "Where Nomad's API is: the agent of this machine, or a tunnel to one."

  validation {
    condition     = startswith(var.nomad_address, "https://")
    error_message = "An https address, as https://127.0.0.1:4646."
  }
}

variable "consul_address" {
  type        = string
  default     = "127.0.0.1:8501"
  description = "Where Consul's API is, by TLS: host and port of the agent of this machine, or of a tunnel to one."

  validation {
    condition     = can(regex("^[^/]+:[0-9]+$", var.consul_address))
    error_message = "Host and port, as 127.0.0.1:8501."
  }
}

variable "ca_file" {
  type        = string
  default     = "/etc/bookstore/ca.pem"
  description = "The certificate of the shop's CA, which the agents are verified by."

  validation {
    condition     = fileexists(var.ca_file)
    error_message = "There is no such file: it is /etc/bookstore/ca.pem on each machine of the shop."
  }
}

variable "access" {
  type        = string
  default     = "/var/lib/bookstore/access"
  description = "The folder of the certificates that 'go tool shop terraform prepare' makes, for who may read it. They are needed once, at first."

  validation {
    condition     = var.access != ""
    error_message = "The path of a folder."
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

variable "hosts" {
  type        = set(string)
  default     = null
  description = "The names of the nodes that keep data. null is every node that Nomad knows, which suits one machine."

  validation {
    condition     = var.hosts == null || length(coalesce(var.hosts, [])) > 0
    error_message = "At least one host."
  }
}

variable "redis_nodes" {
  type        = number
  default     = 6
  description = "Nodes of the cache, each with a volume. Where 'redis scale' gave the cache more, their volumes are not Terraform's."

  validation {
    condition     = var.redis_nodes >= 6 && var.redis_nodes <= 12 && var.redis_nodes % 2 == 0
    error_message = "An even number between 6 and 12: three masters, each with a replica."
  }
}

variable "var_file" {
  type        = string
  default     = "one"
  description = "The file of jobs/vars that says how many machines there are: one, three or many."

  validation {
    condition     = can(regex("^[a-z0-9-]+$", var.var_file))
    error_message = "The name of a file of jobs/vars without its ending: one, three or many."
  }
}

variable "settings" {
  type        = map(map(string))
  default     = {}
  description = "Variables of jobs beyond those of the var-file, by job and name: { books = { count = \"3\" } }. An object is written as JSON."

  validation {
    condition     = alltrue([for job in keys(var.settings) : can(regex("^[a-z0-9-]+$", job))])
    error_message = "The keys are names of jobs, as books."
  }
}

variable "versions" {
  type        = map(string)
  description = "The tag of each image, by its name: 'go tool shop terraform versions' prints them."

  validation {
    condition     = alltrue([for tag in values(var.versions) : can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", tag)) && tag != "latest"])
    error_message = "A tag is like 0.1.0-0123abcd, and not 'latest': Nomad would try to pull it."
  }
}

variable "exclude" {
  type        = set(string)
  default     = []
  description = "Jobs that are not wanted, as s3 where the second backup repository is elsewhere."

  validation {
    condition     = length(setintersection(var.exclude, ["patroni", "redis", "migrate", "books", "orders", "payments", "coordinator", "gateway"])) == 0
    error_message = "The shop does not serve without its database, its cache and its services."
  }
}
