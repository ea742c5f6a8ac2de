output "hosts" {
  description = "The address of each machine, for ssh from the host of libvirt."
  value       = { for name, machine in var.machines : name => machine.address }

  depends_on = [libvirt_domain.machine]
}
