output "entries" {
  description = "The config entries as Consul is given them: JSON, by kind/name."
  value       = { for key, entry in local.entries : key => entry.json }
}
