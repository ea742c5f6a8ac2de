mock_provider "hcloud" {
  # Its ids are numbers, though resources have them as strings.
  mock_resource "hcloud_network" {
    defaults = { id = "1" }
  }
  mock_resource "hcloud_placement_group" {
    defaults = { id = "2" }
  }
  mock_resource "hcloud_firewall" {
    defaults = { id = "3" }
  }
  mock_resource "hcloud_load_balancer" {
    defaults = { id = "4" }
  }
  mock_resource "hcloud_server" {
    defaults = { id = "5" }
  }
}

variables {
  machines = {
    server1 = { role = "server", address = "10.31.250.11", user_data = "#cloud-config\n{}" }
    client1 = { role = "client", address = "10.31.250.101", user_data = "#cloud-config\n{}" }
    client2 = { role = "client", address = "10.31.250.102", user_data = "#cloud-config\n{}" }
  }
  network     = "10.31.250.0/24"
  server_type = "cpx32"
  small_type  = "cx23"
  ssh_keys    = { operator = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator" }
  operators   = ["192.0.2.7/32"]
}

run "machines_are_as_told" {
  command = plan

  assert {
    condition     = hcloud_server.machine["server1"].server_type == "cx23" && hcloud_server.machine["client1"].server_type == "cpx32"
    error_message = "A server alone is a small machine."
  }

  assert {
    condition     = toset([for n in hcloud_server.machine["client2"].network : n.ip]) == toset(["10.31.250.102"])
    error_message = "Each machine has its fixed address."
  }

  assert {
    condition     = toset(keys(hcloud_load_balancer_target.machine)) == toset(["client1", "client2"])
    error_message = "The door is where the shop is carried."
  }

  assert {
    condition     = toset(flatten([for r in hcloud_firewall.operators.rule : r.source_ips if r.protocol == "tcp"])) == toset(["192.0.2.7/32"])
    error_message = "Nobody but operators gets in by TCP."
  }
}

run "arm_has_no_envoy" {
  command         = plan
  expect_failures = [var.server_type]

  variables {
    server_type = "cax31"
  }
}

run "old_images_are_refused" {
  command         = plan
  expect_failures = [var.image]

  variables {
    image = "debian-11"
  }
}
