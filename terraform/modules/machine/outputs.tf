output "machines" {
  description = "The machines by name: role (server, client or both), address, and the user data of its first boot, which has no secret."
  value       = local.machines
}

output "first" {
  description = "The name of the machine that makes the keys; the others are given theirs by it."
  value       = local.first
}

output "servers" {
  description = "The addresses of the servers of Consul and Nomad."
  value       = local.server_addresses
}
