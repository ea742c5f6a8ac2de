variable "name" {
  description = "What the names of network, firewall and balancer begin with; as in module machine."
  type        = string
  default     = "bookstore"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "name must be up to 31 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "machines" {
  description = "The machines by name, as module machine says."
  type = map(object({
    role      = string
    address   = string
    user_data = string
  }))

  validation {
    condition     = length(var.machines) <= 10
    error_message = "machines must be ten at most: a placement group has no more, and hosts of one group are never on the same hardware."
  }

  validation {
    condition     = alltrue([for m in var.machines : length(m.user_data) < 32768])
    error_message = "The user data of a machine must be shorter than 32 KiB."
  }
}

variable "network" {
  description = "The machines' own network, the one that module machine was given."
  type        = string

  validation {
    condition     = can(cidrhost(var.network, 254))
    error_message = "network must be a network such as 10.31.250.0/24."
  }
}

variable "location" {
  description = "The location of the machines, one for all: an order waits for two other members of the database, which ought to be near."
  type        = string
  default     = "nbg1"

  validation {
    condition     = can(regex("^[a-z]{3}[0-9]?$", var.location))
    error_message = "location must be the name of a location, such as nbg1."
  }
}

variable "network_zone" {
  description = "The network zone that the location is in."
  type        = string
  default     = "eu-central"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+$", var.network_zone))
    error_message = "network_zone must be the name of a zone, such as eu-central."
  }
}

variable "server_type" {
  description = "The type of a machine that carries the shop: x86 with 4 processors and 8 GB or more."
  type        = string

  validation {
    condition     = can(regex("^c(p?x|cx)[0-9]+$", var.server_type))
    error_message = "server_type must be an x86 type, such as cpx32; arm types (cax…) have no pinned Envoy."
  }
}

variable "small_type" {
  description = "The type of a server of Consul and Nomad that carries nothing else: x86 with 2 processors and 4 GB."
  type        = string

  validation {
    condition     = can(regex("^c(p?x|cx)[0-9]+$", var.small_type))
    error_message = "small_type must be an x86 type, such as cx23; arm types (cax…) have no pinned Envoy."
  }
}

variable "image" {
  description = "The image of the machines: Debian 12 or newer, or Ubuntu 22.04 or newer."
  type        = string
  default     = "debian-12"

  validation {
    condition     = can(regex("^(debian-1[2-9]|ubuntu-(2[2-9]|[3-9][0-9])\\.04)$", var.image))
    error_message = "image must be Debian 12 or newer (debian-12), or Ubuntu 22.04 or newer (ubuntu-24.04)."
  }
}

variable "ssh_keys" {
  description = "Public keys of the operators by name. Without one Hetzner mails a password of root's."
  type        = map(string)

  validation {
    condition     = length(var.ssh_keys) > 0
    error_message = "ssh_keys must have one public key or more."
  }
}

variable "operators" {
  description = "Networks from which operators reach the machines by ssh."
  type        = list(string)

  validation {
    condition     = length(var.operators) > 0 && alltrue([for from in var.operators : can(cidrhost(from, 0))])
    error_message = "operators must have one network or more, such as 192.0.2.7/32 or 2001:db8::/56."
  }
}

variable "load_balancer_type" {
  description = "The type of the load balancer before the door."
  type        = string
  default     = "lb11"

  validation {
    condition     = can(regex("^lb[0-9]+$", var.load_balancer_type))
    error_message = "load_balancer_type must be a type such as lb11."
  }
}
