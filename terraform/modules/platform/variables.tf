variable "algorithm" {
  type        = string
  default     = "spread"
  description = "Where Nomad places what is to be placed: on the machine where the least runs (spread), or one machine after the other (binpack)."

  validation {
    condition     = contains(["spread", "binpack"], var.algorithm)
    error_message = "One of spread and binpack."
  }
}
