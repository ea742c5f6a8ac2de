output "hosts" {
  description = "Where each machine is reached by ssh as root."
  value       = module.hetzner.hosts
}

output "first" {
  description = "Where the first machine is reached, which has the key of the shop's CA: the operator works there."
  value       = module.hetzner.hosts[module.machine.first]
}

output "addresses" {
  description = "The address of each machine in their own network."
  value       = { for name, machine in module.machine.machines : name => machine.address }
}

output "join" {
  description = "The script that hands every machine its keys: terraform output -raw join | bash. It has none in itself."
  value       = module.join.script
}

output "door" {
  description = "The public address of the load balancer before the shop's doors, for the DNS."
  value       = module.hetzner.door
}
