output "hosts" {
  description = "The public IPv4 address of each machine, for ssh."
  value       = { for name, machine in hcloud_server.machine : name => machine.ipv4_address }
}

output "door" {
  description = "The public IPv4 address of the load balancer: the shop's, which its name in the DNS is to lead to."
  value       = hcloud_load_balancer.door.ipv4
}
