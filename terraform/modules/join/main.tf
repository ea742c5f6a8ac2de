# join is how machines get the keys of the shop: from the first one, through the operator's ssh. They are not in user data,
# which each cloud keeps, shows to whoever may read the project, and hands to every process of the machine; nor in a state.

locals {
  others = [for name in sort(keys(var.machines)) : name if name != var.first]
  script = templatefile("${path.module}/join.sh.tftpl", {
    first = var.hosts[var.first]
    hosts = [for name in sort(keys(var.machines)) : var.hosts[name]]
    others = [for name in local.others : {
      host    = var.hosts[name]
      address = var.machines[name].address
      options = var.machines[name].role == "client" ? "" : "--operator "
    }]
  })
}
