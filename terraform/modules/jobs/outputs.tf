output "versions" {
  description = "The version of each job at Nomad, which grows with each change of it."
  value       = { for name, job in nomad_job.this : name => job.version }
}

output "variables" {
  description = "The variables that each job is submitted with."
  value       = local.vars
}
