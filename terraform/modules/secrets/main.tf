# Passwords, keys and tokens, in the variable of each job that reads them (jobs/secrets.hcl, which 'go tool shop up' reads too).
# They are ephemeral and write-only: neither state nor plan has them, and what rotates them makes no difference here.
locals {
  root = coalesce(var.root, "${path.module}/../../..")
  # The door's variable has certificates alone.
  wants = merge(provider::terraform::decode_tfvars(file("${local.root}/jobs/secrets.hcl")), { ingress = {} })

  # What of a job's is another job's: that job and its key.
  from    = { for job, items in local.wants : job => { for key, item in items : key => split(".", item.from) if can(item.from) } }
  follows = { for job, items in local.wants : job => { for key, item in items : key => local.from[job][key] if can(item.follows) } }
  uses    = { for job, from in local.from : job => distinct([for source in values(from) : source[0]]) }

  # A job's variable is made after those that it takes from.
  first  = toset([for job, uses in local.uses : job if length(uses) == 0])
  second = toset([for job, uses in local.uses : job if length(uses) > 0 && length(setsubtract(uses, local.first)) == 0])
  third  = setsubtract(keys(local.wants), setunion(local.first, local.second))

  made  = toset(flatten([for job, items in local.wants : [for key, item in items : "${job}.${key}" if length(item) == 0]]))
  known = var.existing ? setsubtract(keys(local.wants), var.added) : toset([])
}

ephemeral "random_bytes" "made" {
  for_each = local.made

  length = 24
}

ephemeral "nomad_variable" "existing" {
  for_each = local.known

  path      = "nomad/jobs/${each.key}"
  namespace = "default"
}

ephemeral "nomad_variable" "existing_shared" {
  count = var.existing ? 1 : 0

  path      = "nomad/jobs"
  namespace = "default"
}

locals {
  # Certificates come from where the key of the CA is.
  certificates = {
    s3      = { certificate = var.certificates.s3_certificate, private_key = var.certificates.s3_private_key }
    ingress = { certificate = var.certificates.door_certificate, certificate_key = var.certificates.door_private_key }
  }

  existing = { for job in keys(local.wants) : job => contains(local.known, job) ? ephemeral.nomad_variable.existing[job].items : {} }
  new = {
    for job, items in local.wants : job => merge(
      { for key, item in items : key => ephemeral.random_bytes.made["${job}.${key}"].hex if length(item) == 0 },
      { for key, item in items : key => item.value if can(item.value) },
      { for key, value in lookup(local.certificates, job, {}) : key => value if value != null },
    )
  }

  # What was stored is read back and passed on. So an apply that ended after the first variables goes on with their passwords.
  stored_first  = { for job in local.first : job => ephemeral.nomad_variable.first[job].items }
  stored_second = { for job in local.second : job => ephemeral.nomad_variable.second[job].items }
}

resource "nomad_variable" "first" {
  for_each = local.first

  path             = "nomad/jobs/${each.key}"
  items_wo         = jsonencode(merge(local.new[each.key], local.existing[each.key]))
  items_wo_version = var.revision

  # Data is of no use without its passwords.
  lifecycle {
    prevent_destroy = true
  }
}

ephemeral "nomad_variable" "first" {
  for_each = local.first

  # Unknown until it is made: then it is read after that.
  path      = split("@", nomad_variable.first[each.key].id)[0]
  namespace = "default"
}

resource "nomad_variable" "second" {
  for_each = local.second

  path = "nomad/jobs/${each.key}"
  items_wo = jsonencode(merge(
    local.new[each.key],
    { for key, source in local.from[each.key] : key => local.stored_first[source[0]][source[1]] },
    local.existing[each.key],
    { for key, source in local.follows[each.key] : key => local.stored_first[source[0]][source[1]] },
  ))
  items_wo_version = var.revision

  lifecycle {
    prevent_destroy = true
  }
}

ephemeral "nomad_variable" "second" {
  for_each = local.second

  path      = split("@", nomad_variable.second[each.key].id)[0]
  namespace = "default"
}

resource "nomad_variable" "third" {
  for_each = local.third

  path = "nomad/jobs/${each.key}"
  items_wo = jsonencode(merge(
    local.new[each.key],
    { for key, source in local.from[each.key] : key => merge(local.stored_first, local.stored_second)[source[0]][source[1]] },
    local.existing[each.key],
    { for key, source in local.follows[each.key] : key => merge(local.stored_first, local.stored_second)[source[0]][source[1]] },
  ))
  items_wo_version = var.revision

  lifecycle {
    prevent_destroy = true
  }
}

# What every job may read: whom to trust.
resource "nomad_variable" "shared" {
  path = "nomad/jobs"
  items_wo = jsonencode(merge(
    { agent_ca = var.agent_ca },
    var.existing ? ephemeral.nomad_variable.existing_shared[0].items : {},
  ))
  items_wo_version = var.revision

  lifecycle {
    prevent_destroy = true
  }
}
