variable "machines" {
  description = "The machines by name, as module machine says: role and address in their own network."
  type = map(object({
    role    = string
    address = string
  }))

  validation {
    condition     = alltrue([for m in var.machines : contains(["server", "client", "both"], m.role)])
    error_message = "The role of each machine must be server, client or both."
  }
}

variable "first" {
  description = "The name of the machine that makes the keys."
  type        = string

  validation {
    condition     = contains(keys(var.machines), var.first)
    error_message = "first must be one of the machines."
  }
}

variable "hosts" {
  description = "Where each machine is reached by ssh, by its name."
  type        = map(string)

  validation {
    condition     = length(setsubtract(keys(var.machines), keys(var.hosts))) == 0 && alltrue([for host in var.hosts : can(regex("^[A-Za-z0-9.:-]+$", host))])
    error_message = "hosts must have an address or a host name for each machine."
  }
}
