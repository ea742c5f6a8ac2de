variable "root" {
  type        = string
  default     = null
  description = "The top of a checkout of the bookstore; null is the one that holds this module."

  validation {
    condition     = var.root == null || length(fileset(coalesce(var.root, "."), "jobs/mesh/*.hcl")) > 0
    error_message = "There is no jobs/mesh/*.hcl in this folder: it is not a checkout of the bookstore."
  }
}
