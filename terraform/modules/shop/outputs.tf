output "versions" {
  description = "The version of each job at Nomad, which grows with each change of it."
  value       = module.jobs.versions
}

output "variables" {
  description = "The variables that each job is submitted with."
  value       = module.jobs.variables
}

output "entries" {
  description = "The mesh's config entries as Consul is given them: JSON, by kind/name."
  value       = module.mesh.entries
}

output "volumes" {
  description = "The volumes' IDs at Nomad, by name; the backups' are backup@<host>."
  value       = module.volumes.ids
}

output "secrets" {
  description = "Where each job's passwords are at Nomad: paths, no values."
  value       = module.secrets.paths
}

output "roles" {
  description = "Consul's roles, each with the policy of one task."
  value       = module.access.roles
}
