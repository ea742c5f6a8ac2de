# The machines of a lab on libvirt, of this host or another. Their state is another than the shop's (../shop).

module "machine" {
  source = "../../../modules/machine"

  name       = var.name
  servers    = var.servers
  clients    = var.clients
  network    = var.network
  repository = var.repository
  revision   = var.revision
  go         = var.go
  ssh_keys   = values(var.ssh_keys)
  egress     = var.egress
}

module "libvirt" {
  source = "../../../modules/libvirt"

  name     = var.name
  machines = module.machine.machines
  network  = var.network
  image    = var.image
  pool     = var.pool
  type     = var.type
  memory   = var.memory
  cpus     = var.cpus
  disk     = var.disk
}

module "join" {
  source = "../../../modules/join"

  machines = module.machine.machines
  first    = module.machine.first
  hosts    = module.libvirt.hosts
}
