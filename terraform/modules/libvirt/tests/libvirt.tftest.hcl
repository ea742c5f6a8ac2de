mock_provider "libvirt" {}

variables {
  machines = {
    server1 = { role = "server", address = "10.31.250.11", user_data = "#cloud-config\n{}" }
    client1 = { role = "client", address = "10.31.250.101", user_data = "#cloud-config\n{}" }
  }
  network = "10.31.250.0/24"
}

run "machines_are_as_told" {
  command = plan

  assert {
    condition     = libvirt_domain.machine["server1"].memory == 4096 && libvirt_domain.machine["client1"].memory == 8192
    error_message = "A server alone gets half the memory."
  }

  assert {
    condition     = libvirt_domain.machine["client1"].devices.interfaces[0].mac.address == "52:54:00:1f:fa:65"
    error_message = "The hardware address follows from the address."
  }

  assert {
    condition     = yamldecode(libvirt_cloudinit_disk.machine["client1"].network_config).ethernets.own.addresses == ["10.31.250.101/24"]
    error_message = "Each machine has its fixed address."
  }
}

run "two_kinds_of_machines" {
  command         = plan
  expect_failures = [var.type]

  variables {
    type = "xen"
  }
}
