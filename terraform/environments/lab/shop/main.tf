# The shop on the machines of the lab, through a tunnel to a server.
locals {
  # 'go tool shop terraform prepare' makes what is missing of them.
  files = {
    s3_certificate   = "s3.pem"
    s3_private_key   = "s3-key.pem"
    door_certificate = "door.pem"
    door_private_key = "door-key.pem"
  }
}

module "shop" {
  source = "../../../modules/shop"

  agent_ca     = trimspace(file(var.ca_file))
  existing     = var.existing
  added        = var.added
  revision     = var.revision
  certificates = { for name, file in local.files : name => try(trimspace(file("${var.access}/${file}")), null) }
  hosts        = var.hosts
  redis_nodes  = var.redis_nodes
  var_file     = var.var_file
  settings     = var.settings
  versions     = var.versions
  exclude      = var.exclude
}
