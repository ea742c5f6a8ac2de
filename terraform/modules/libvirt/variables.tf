variable "name" {
  description = "The name of the network, and what the names of volumes begin with; as in module machine."
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
    condition     = length(var.machines) > 0
    error_message = "machines must have one machine or more."
  }
}

variable "network" {
  description = "The machines' own network, the one that module machine was given."
  type        = string

  validation {
    condition     = can(cidrhost(var.network, 254)) && endswith(var.network, "/24")
    error_message = "network must be a /24 such as 10.31.250.0/24."
  }
}

variable "image" {
  description = "The cloud image of the machines, a URL or a file's path: Debian 12 or newer, or Ubuntu 22.04 or newer, in the format qcow2."
  type        = string
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"

  validation {
    condition     = can(regex("^(https://|/).+\\.(qcow2|img)$", var.image))
    error_message = "image must be an https URL or an absolute path of a .qcow2 or .img."
  }
}

variable "pool" {
  description = "The storage pool of libvirt in which disks are made."
  type        = string
  default     = "default"

  validation {
    condition     = var.pool != ""
    error_message = "pool must be the name of a storage pool."
  }
}

variable "type" {
  description = "kvm, or qemu (plain emulation, about ten times slower) where the host offers no virtualisation."
  type        = string
  default     = "kvm"

  validation {
    condition     = contains(["kvm", "qemu"], var.type)
    error_message = "type must be kvm or qemu."
  }
}

variable "memory" {
  description = "MiB of memory of a machine that carries the shop; a server alone gets half of it."
  type        = number
  default     = 8192

  validation {
    condition     = var.memory >= 4096
    error_message = "memory must be 4096 or more."
  }
}

variable "cpus" {
  description = "Processors of each machine."
  type        = number
  default     = 2

  validation {
    condition     = var.cpus >= 1 && var.cpus <= 64
    error_message = "cpus must be from 1 to 64."
  }
}

variable "disk" {
  description = "GiB of disk of each machine; what is not written takes no room."
  type        = number
  default     = 40

  validation {
    condition     = var.disk >= 20
    error_message = "disk must be 20 or more: images and builds alone need ten."
  }
}
