variable "root" {
  type        = string
  default     = null
  description = "The top of a checkout of the bookstore; null is the one that holds this module."

  validation {
    condition     = var.root == null || length(fileset(coalesce(var.root, "."), "jobs/*.nomad.hcl")) > 0
    error_message = "There is no jobs/*.nomad.hcl in this folder: it is not a checkout of the bookstore."
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

variable "timeout" {
  type        = string
  default     = "15m"
  description = "How long a service may take until all its new instances are healthy. A job's own limit is 10m."

  validation {
    condition     = can(regex("^[0-9]+m$", var.timeout))
    error_message = "A number of minutes, as 15m."
  }
}
