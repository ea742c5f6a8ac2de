variable "name" {
  description = "What the machines' names begin with: bookstore-server1 and so on."
  type        = string
  default     = "bookstore"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "name must be a part of a host name: up to 31 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "servers" {
  description = "How many servers of Consul and Nomad: 1, 3 or 5, so that a majority can be told. Without clients they carry the shop, too."
  type        = number
  default     = 3

  validation {
    condition     = contains([1, 3, 5], var.servers)
    error_message = "servers must be 1, 3 or 5: with an even number one failure more is not survived."
  }
}

variable "clients" {
  description = "How many machines carry the shop alone, beside the servers; 0 where the servers do."
  type        = number
  default     = 0

  validation {
    condition     = var.clients >= 0 && var.clients <= 99 && floor(var.clients) == var.clients
    error_message = "clients must be a whole number from 0 to 99."
  }
}

variable "network" {
  description = "The machines' own network, a private /24. Servers have the addresses 11 to 15 in it, clients 101 and up."
  type        = string
  default     = "10.31.250.0/24"

  validation {
    condition     = can(cidrhost(var.network, 254)) && endswith(var.network, ".0/24") && can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.network))
    error_message = "network must be a /24 of a private network, such as 10.31.250.0/24."
  }

  validation {
    condition     = !contains(["172.31.250.0/24", "172.29.250.0/24"], var.network)
    error_message = "network must not be that of a bridge on the machines: 172.31.250.0/24 and 172.29.250.0/24 are."
  }
}

variable "repository" {
  description = "The URL from which the machines clone the shop's repository, without a secret in it: user data can be read on the machine."
  type        = string

  validation {
    condition     = can(regex("^https://[^@\\s'\"\\\\$`]+$", var.repository))
    error_message = "repository must be an https URL without a user or password."
  }
}

variable "revision" {
  description = "The tag or branch of the repository that the machines are set up from; a tag, so that a machine added later is like the others."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.revision))
    error_message = "revision must be the name of a tag or a branch."
  }
}

variable "go" {
  description = "The archive of Go 1.26 or newer for linux-amd64 and its SHA-256, as https://go.dev/dl lists them: no image of Debian has that Go."
  type = object({
    url    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^https://[^@\\s'\"\\\\$`]+\\.tar\\.gz$", var.go.url)) && can(regex("^[0-9a-f]{64}$", var.go.sha256))
    error_message = "go must have the https URL of a .tar.gz and the 64 hexadecimal digits of its SHA-256."
  }
}

variable "ssh_keys" {
  description = "Public keys of the operators, who get in as root by ssh: a line of id_ed25519.pub by the name of its owner."
  type        = map(string)

  validation {
    condition     = length(var.ssh_keys) > 0 && alltrue([for key in var.ssh_keys : can(regex("^(ssh-|ecdsa-|sk-)[^\\n]+$", key))])
    error_message = "ssh_keys must have one public key or more, each in one line as in id_ed25519.pub."
  }
}

variable "egress" {
  description = "What containers may reach besides the shop: IPv4 addresses or networks, each with :port or without."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for to in var.egress : can(regex("^([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2})?(:[0-9]{1,5})?$", to))])
    error_message = "egress must have IPv4 addresses or networks, such as 192.0.2.10:443 or 198.51.100.0/24."
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
