output "algorithm" {
  description = "How Nomad places what is to be placed."
  value       = nomad_scheduler_config.this.scheduler_algorithm
}
