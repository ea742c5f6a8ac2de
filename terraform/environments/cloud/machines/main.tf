# The machines of a shop in Hetzner's cloud. Their state is another than the shop's (../shop): what loses the one keeps the other.

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

module "hetzner" {
  source = "../../../modules/hetzner"

  name               = var.name
  machines           = module.machine.machines
  network            = var.network
  location           = var.location
  network_zone       = var.network_zone
  server_type        = var.server_type
  small_type         = var.small_type
  image              = var.image
  ssh_keys           = var.ssh_keys
  operators          = var.operators
  load_balancer_type = var.load_balancer_type
}

module "join" {
  source = "../../../modules/join"

  machines = module.machine.machines
  first    = module.machine.first
  hosts    = module.hetzner.hosts
}
