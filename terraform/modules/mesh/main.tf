# Consul's config entries, from the files that `consul config write` and `go tool shop up` read.
locals {
  root  = coalesce(var.root, "${path.module}/../../..")
  files = fileset(local.root, "jobs/mesh/*.hcl")
  raw   = [for file in local.files : provider::terraform::decode_tfvars(file("${local.root}/${file}"))]

  # What Consul adds to an entry: without it every plan would have a change.
  defaults = {
    proxy-defaults   = { AccessLogs = {}, TransparentProxy = {} }
    service-defaults = { TransparentProxy = {} }
  }

  entries = {
    for entry in local.raw : "${entry.Kind}/${try(entry.Name, entry.Kind)}" => {
      kind = entry.Kind
      name = try(entry.Name, entry.Kind) # a kind with one entry, mesh, has its own name
      json = jsonencode(merge(
        { for key, value in try(local.defaults[entry.Kind], {}) : key => value },
        { for key, value in entry : key => value if !contains(["Kind", "Name", "Sources"], key) },
        # 9 is the precedence of an intention between two exact names, which all of these are.
        { for key, value in entry : key => [for source in value : merge({ Precedence = 9, Type = "consul" }, source)] if key == "Sources" },
      ))
    }
  }

  # Consul refuses a router whose services do not speak HTTP yet, and a default that a router still needs: each tier is made after,
  # and removed before, the one above it.
  tier = {
    proxy-defaults     = "defaults"
    service-defaults   = "defaults"
    service-resolver   = "resolvers"
    service-splitter   = "routers"
    service-router     = "routers"
    mesh               = "others"
    service-intentions = "others"
  }
  tiers = {
    for tier in toset(values(local.tier)) : tier => { for key, entry in local.entries : key => entry if local.tier[entry.kind] == tier }
  }
}

resource "consul_config_entry" "defaults" {
  for_each = local.tiers.defaults

  kind        = each.value.kind
  name        = each.value.name
  config_json = each.value.json
}

resource "consul_config_entry" "resolvers" {
  for_each = local.tiers.resolvers

  kind        = each.value.kind
  name        = each.value.name
  config_json = each.value.json

  depends_on = [consul_config_entry.defaults]
}

resource "consul_config_entry" "routers" {
  for_each = local.tiers.routers

  kind        = each.value.kind
  name        = each.value.name
  config_json = each.value.json

  depends_on = [consul_config_entry.resolvers]
}

resource "consul_config_entry" "others" {
  for_each = local.tiers.others

  kind        = each.value.kind
  name        = each.value.name
  config_json = each.value.json

  # An intention that names a call is for services that speak HTTP.
  depends_on = [consul_config_entry.defaults]
}
