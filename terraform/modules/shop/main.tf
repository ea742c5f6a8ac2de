# The whole shop on agents that run, in the order in which its parts need each other.
module "platform" {
  source = "../platform"
}

module "access" {
  source = "../access"

  root     = var.root
  agent_ca = var.agent_ca
}

module "mesh" {
  source = "../mesh"

  root = var.root
}

module "volumes" {
  source = "../volumes"

  hosts       = var.hosts
  redis_nodes = var.redis_nodes
}

module "secrets" {
  source = "../secrets"

  root         = var.root
  agent_ca     = var.agent_ca
  existing     = var.existing
  added        = var.added
  revision     = var.revision
  certificates = var.certificates
}

module "jobs" {
  source = "../jobs"

  root     = var.root
  var_file = var.var_file
  settings = var.settings
  versions = var.versions
  exclude  = var.exclude
  timeout  = var.timeout

  depends_on = [module.platform, module.access, module.mesh, module.volumes, module.secrets]
}
