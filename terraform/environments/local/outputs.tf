output "urls" {
  description = "Where the shop and its agents are, as seen from where Terraform runs."
  value = {
    nomad  = "${var.nomad_address}/ui"
    consul = "https://${var.consul_address}/ui"
  }
}

output "versions" {
  description = "The version of each job at Nomad, which grows with each change of it."
  value       = module.shop.versions
}

output "variables" {
  description = "The variables that each job is submitted with."
  value       = module.shop.variables
}

output "entries" {
  description = "The mesh's config entries as Consul is given them: JSON, by kind/name."
  value       = module.shop.entries
}

output "volumes" {
  description = "The volumes' IDs at Nomad, by name; the backups' are backup@<host>."
  value       = module.shop.volumes
}

output "secrets" {
  description = "Where each job's passwords are at Nomad: paths, no values."
  value       = module.shop.secrets
}
