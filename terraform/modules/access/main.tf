# Who may do what, from the files that 'go tool shop up' reads (jobs/acl). The agents' own policies and the first tokens are made
# with the agents, before anything can be asked of them (vagrant/provision).
locals {
  acl = "${coalesce(var.root, "${path.module}/../../..")}/jobs/acl"

  # <job>-<task>, which the binding rule makes of an identity's claims.
  consul = { for file in fileset("${local.acl}/consul", "*.hcl") : "nomad-${trimsuffix(file, ".hcl")}" => file("${local.acl}/consul/${file}") }

  # <job>-<task>, whose group has the job's name, or <job>-<group>-<task>.
  nomad = {
    for file in fileset("${local.acl}/nomad", "*.hcl") : trimsuffix(file, ".hcl") => {
      rules = file("${local.acl}/nomad/${file}")
      parts = split("-", trimsuffix(file, ".hcl"))
    }
  }
}

resource "consul_acl_policy" "task" {
  for_each = local.consul

  name  = each.key
  rules = each.value
}

resource "consul_acl_role" "task" {
  for_each = local.consul

  name     = each.key
  policies = [consul_acl_policy.task[each.key].id]
}

# A service is itself in the mesh, a task has the role that is named after it.
resource "consul_acl_auth_method" "workloads" {
  name = "nomad-workloads" # Nomad's default name for it
  type = "jwt"

  # Without a longest life of the tokens: Nomad does not renew them.
  config_json = jsonencode({
    JWKSURL          = var.jwks_url
    JWKSCACert       = var.agent_ca
    JWTSupportedAlgs = ["RS256"]
    BoundAudiences   = ["consul.io"]
    ClaimMappings = {
      nomad_namespace = "nomad_namespace"
      nomad_job_id    = "nomad_job_id"
      nomad_task      = "nomad_task"
      nomad_service   = "nomad_service"
    }
  })
}

resource "consul_acl_binding_rule" "service" {
  auth_method = consul_acl_auth_method.workloads.name
  bind_type   = "service"
  bind_name   = "$${value.nomad_service}"
  selector    = "\"nomad_service\" in value"
}

resource "consul_acl_binding_rule" "task" {
  auth_method = consul_acl_auth_method.workloads.name
  bind_type   = "role"
  bind_name   = "nomad-$${value.nomad_job_id}-$${value.nomad_task}"
  selector    = "\"nomad_service\" not in value"
}

resource "nomad_acl_policy" "task" {
  for_each = local.nomad

  name      = each.key
  rules_hcl = each.value.rules

  job_acl {
    namespace = "default"
    job_id    = each.value.parts[0]
    group     = length(each.value.parts) == 2 ? each.value.parts[0] : each.value.parts[1]
    task      = each.value.parts[length(each.value.parts) - 1]
  }
}
