# Where data is. The hosts are the ones that 'go tool shop up' takes, in the order of their names, as their IDs are random.
data "nomad_nodes" "all" {
  lifecycle {
    postcondition {
      condition     = length(setsubtract(coalesce(var.hosts, []), self.nodes[*].name)) == 0
      error_message = "Nomad does not know each of these hosts: 'nomad node status' lists those that it knows."
    }
    postcondition {
      condition     = length(self.nodes) > 0
      error_message = "Nomad has no node: is its agent up on the machines?"
    }
  }
}

# Which volumes there are: 'go tool shop machine' gives one that moves another host.
data "nomad_node" "each" {
  for_each = toset(data.nomad_nodes.all.nodes[*].id)

  node_id = each.key
}

locals {
  # Not only those that are ready: a host that is down would lose its volumes to a plan.
  known = { for node in data.nomad_nodes.all.nodes : node.name => node... }
  # Of two nodes of one name, the machine was installed anew, and the one that is ready is meant.
  ids   = { for name, nodes in local.known : name => try([for node in nodes : node.id if node.status == "ready"][0], nodes[0].id) }
  hosts = sort(var.hosts == null ? keys(local.ids) : var.hosts)

  # The users that own them, as the images that write to them have them.
  users = { patroni = 10001, backup = 10001, redis = 10002, warehouse = 10003, s3 = 10005 }

  # A replica of the cache does not begin on the host of its master: node masters + i is the replica of node i.
  masters = var.redis_nodes / 2
  shift   = local.masters % length(local.hosts) == 0 ? 1 : 0

  volumes = merge(
    { for i in range(var.members) : "patroni[${i}]" => { name = "patroni[${i}]", of = "patroni", host = i } },
    { for i in range(var.redis_nodes) : "redis[${i}]" => { name = "redis[${i}]", of = "redis", host = i < local.masters ? i : i + local.shift } },
    { for name in ["warehouse", "s3"] : name => { name = name, of = name, host = 0 } },
    { for i, host in local.hosts : "backup@${host}" => { name = "backup", of = "backup", host = i } },
  )

  # The node that has a volume of that name already. Where the state does not know it, Nomad refuses a second one there, and a member
  # does not get two.
  there = { for at in flatten([
    for id, node in data.nomad_node.each : [for volume in coalesce(node.host_volumes, []) : { name = volume.name, node = id }]
  ]) : at.name => at.node... if !contains(["backup", "warehouse"], at.name) }
}

resource "nomad_dynamic_host_volume" "this" {
  for_each = local.volumes

  name      = each.value.name
  plugin_id = "mkdir"
  node_id   = try(local.there[each.value.name][0], local.ids[local.hosts[each.value.host % length(local.hosts)]])

  parameters = {
    mode = "0700"
    uid  = tostring(local.users[each.value.of])
    gid  = tostring(local.users[each.value.of])
  }

  # Not single-writer: with a volume for each instance, Nomad would place once and refuse every later plan.
  capability {
    access_mode     = "single-node-multi-writer"
    attachment_mode = "file-system"
  }

  lifecycle {
    # Another host is another volume, and an empty one; and destroying a volume removes what is in it.
    prevent_destroy = true
    ignore_changes  = [node_id]
  }
}
