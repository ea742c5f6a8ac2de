variable "hosts" {
  type        = set(string)
  default     = null
  description = "The names of the nodes that keep data. null is every node that Nomad knows, which suits one machine."

  validation {
    condition     = var.hosts == null || length(coalesce(var.hosts, [])) > 0
    error_message = "At least one host."
  }
}

variable "members" {
  type        = number
  default     = 5
  description = "Members of the database, each with a volume."

  validation {
    condition     = var.members >= 3 && var.members <= 9
    error_message = "Between 3 and 9: a commit waits for two standbys."
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
