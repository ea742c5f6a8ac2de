output "ids" {
  description = "The volumes' IDs at Nomad, by name; the backups' are backup@<host>."
  value       = { for key, volume in nomad_dynamic_host_volume.this : key => volume.id }
}

output "hosts" {
  description = "The host that each volume was meant for when it was made."
  value       = { for key, volume in local.volumes : key => local.hosts[volume.host % length(local.hosts)] }
}
