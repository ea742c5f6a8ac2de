# hetzner makes module machine's machines in Hetzner's cloud: a private network, machines that are never on the same hardware, a
# firewall that lets operators in by ssh and nobody else in, and a load balancer that passes TLS on to the shop's doors.

resource "hcloud_network" "shop" {
  name     = var.name
  ip_range = var.network
}

resource "hcloud_network_subnet" "shop" {
  network_id   = hcloud_network.shop.id
  type         = "cloud"
  ip_range     = var.network
  network_zone = var.network_zone
}

resource "hcloud_placement_group" "shop" {
  name = var.name
  type = "spread"
}

# Firewalls of this cloud are for public addresses; machines reach each other in the private network.
resource "hcloud_firewall" "operators" {
  name = "${var.name}-operators"

  rule {
    description = "ssh of operators"
    direction   = "in"
    protocol    = "tcp"
    port        = "22"
    source_ips  = var.operators
  }

  rule {
    description = "path MTU, echo"
    direction   = "in"
    protocol    = "icmp"
    source_ips  = ["0.0.0.0/0", "::/0"]
  }
}

resource "hcloud_ssh_key" "operator" {
  for_each = var.ssh_keys

  name       = "${var.name}-${each.key}"
  public_key = each.value
}

resource "hcloud_server" "machine" {
  for_each = var.machines

  name               = each.key
  server_type        = each.value.role == "server" ? var.small_type : var.server_type
  image              = var.image
  location           = var.location
  placement_group_id = hcloud_placement_group.shop.id
  firewall_ids       = [hcloud_firewall.operators.id]
  ssh_keys           = [for key in hcloud_ssh_key.operator : key.id]
  user_data          = each.value.user_data
  labels             = { shop = var.name, role = each.value.role }

  shutdown_before_deletion = true
  delete_protection        = true
  rebuild_protection       = true

  public_net {
    ipv4_enabled = true
    ipv6_enabled = true
  }

  network {
    subnet_id = hcloud_network_subnet.shop.id
    ip        = each.value.address
    alias_ips = [] # without this the network is attached anew by every apply
  }

  lifecycle {
    prevent_destroy = true                  # the shop's data is on its disk
    ignore_changes  = [ssh_keys, user_data] # both are read at the first boot alone, and would replace the machine
  }
}

resource "hcloud_load_balancer" "door" {
  name               = var.name
  load_balancer_type = var.load_balancer_type
  location           = var.location

  algorithm {
    type = "least_connections"
  }
}

resource "hcloud_load_balancer_network" "door" {
  load_balancer_id = hcloud_load_balancer.door.id
  subnet_id        = hcloud_network_subnet.shop.id
}

resource "hcloud_load_balancer_service" "https" {
  load_balancer_id = hcloud_load_balancer.door.id
  protocol         = "tcp" # TLS ends at the shop's door
  listen_port      = 443
  destination_port = 8443
}

resource "hcloud_load_balancer_target" "machine" {
  for_each = { for name, machine in var.machines : name => machine if machine.role != "server" }

  type             = "server"
  load_balancer_id = hcloud_load_balancer.door.id
  server_id        = hcloud_server.machine[each.key].id
  use_private_ip   = true

  depends_on = [hcloud_load_balancer_network.door]
}
