# Nomad's jobs, from the files that `nomad job run` and `go tool shop up` read.
locals {
  root = coalesce(var.root, "${path.module}/../../..")

  # Where no domain is to be certified by an ACME directory, its job has nothing to do.
  certified = length(try(local.common.acme.domains, jsondecode(var.settings.acme.acme).domains, [])) > 0

  # A restore is an operation ('go tool shop db restore'), not a state.
  names = setsubtract([for file in fileset("${local.root}/jobs", "*.nomad.hcl") : trimsuffix(file, ".nomad.hcl")], setunion(["restore"], local.certified ? [] : ["acme"], var.exclude))
  text  = { for job in local.names : job => file("${local.root}/jobs/${job}.nomad.hcl") }

  # The provider refuses a variable that a job does not declare.
  declared = { for job, text in local.text : job => flatten(regexall("(?m)^variable \"([a-z0-9_]+)\"", text)) }

  common = provider::terraform::decode_tfvars(file("${local.root}/jobs/vars/${var.var_file}.hcl"))
  # Its values as the strings that hcl2.vars takes: an object as JSON, which HCL reads.
  texts = { for name, value in local.common : name => try(tostring(value), jsonencode(value)) }

  # version is the tag of the image that has the job's name, <image>_version that of another.
  tags = {
    for job, names in local.declared : job => {
      for name in names : name => lookup(var.versions, name == "version" ? job : trimsuffix(name, "_version"), null) if endswith(name, "version")
    }
  }

  # The provider does not see that a file has changed that a job loads: a digest among the variables shows it.
  loaded = { for job, text in local.text : job => sort(distinct(flatten(regexall("file\\(\"\\$\\{var\\.root\\}/([^\"$]+)\"", text)))) }
  files = {
    for job, paths in local.loaded : job => {
      root  = local.root
      files = sha256(join("\n", [for path in paths : "${path} ${filesha256("${local.root}/${path}")}"]))
    }
  }

  vars = {
    for job, names in local.declared : job => {
      for name, value in merge(local.texts, local.files[job], local.tags[job], lookup(var.settings, job, {})) : name => value
      if contains(names, name) || contains(keys(lookup(var.settings, job, {})), name) # so that a misspelt setting is refused
    }
  }

  # A first rollout that fails taints its job, and the next apply would remove and make it anew. So only those are waited
  # for that have no data, and none whose end Terraform does not know.
  awaited = ["books", "orders", "payments", "coordinator", "gateway", "ingress", "alertmanager", "prometheus"]
}

resource "nomad_job" "this" {
  for_each = local.names

  jobspec = local.text[each.key]
  detach  = !contains(local.awaited, each.key)

  # How many nodes Redis has is said by 'go tool shop redis scale'.
  preserve_counts = each.key == "redis"

  hcl2 {
    allow_fs = true
    vars     = local.vars[each.key]
  }

  timeouts {
    create = var.timeout
    update = var.timeout
  }

  lifecycle {
    precondition {
      condition     = alltrue([for value in values(local.vars[each.key]) : value != null])
      error_message = "versions has no tag for an image of the job ${each.key}: 'go tool shop terraform versions' prints all."
    }
  }
}
