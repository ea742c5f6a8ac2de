variables {
  repository = "https://git.example.com/bookstore.git"
  revision   = "v1.2.0"
  go = {
    url    = "https://go.dev/dl/go1.26.0.linux-amd64.tar.gz"
    sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator"]
}

run "three_servers_carry_the_shop" {
  command = plan

  assert {
    condition     = { for name, m in output.machines : name => m.role } == { bookstore-server1 = "both", bookstore-server2 = "both", bookstore-server3 = "both" }
    error_message = "Three servers without clients carry the shop."
  }

  assert {
    condition     = output.servers == ["10.31.250.11", "10.31.250.12", "10.31.250.13"]
    error_message = "Servers have the addresses from 11 on."
  }

  assert {
    condition     = output.first == "bookstore-server1"
    error_message = "The first server makes the keys."
  }
}

run "clients_carry_the_shop_where_there_are_any" {
  command = plan

  variables {
    servers = 1
    clients = 5
    network = "192.168.7.0/24"
    name    = "shop"
    egress  = ["192.0.2.10:443", "198.51.100.0/24"]
  }

  assert {
    condition     = output.machines["shop-server1"].role == "server" && output.machines["shop-client5"].role == "client" && length(output.machines) == 6
    error_message = "Beside clients a server is a server alone."
  }

  assert {
    condition     = output.machines["shop-client5"].address == "192.168.7.105"
    error_message = "Clients have the addresses from 101 on."
  }

  assert {
    condition     = startswith(output.machines["shop-client5"].user_data, "#cloud-config\n")
    error_message = "User data begins with the word by which cloud-init knows it."
  }

  assert {
    condition = yamldecode(output.machines["shop-client5"].user_data).write_files[0].content == join("\n", [
      "ADDRESS=192.168.7.105",
      "BOOKSTORE_ROLE=client",
      "BOOKSTORE_SERVERS=192.168.7.11",
      "BOOKSTORE_BOOTSTRAP=1",
      "BOOKSTORE_S3=192.168.7.101",
      "BOOKSTORE_EGRESS=192.0.2.10:443,198.51.100.0/24",
      "",
    ])
    error_message = "The provision scripts are told role, servers, quorum and the way out."
  }

  assert {
    condition     = alltrue([for m in output.machines : length(m.user_data) < 16384])
    error_message = "User data fits where the least is allowed: 16 KiB."
  }
}

run "two_servers_are_no_majority" {
  command         = plan
  expect_failures = [var.servers]

  variables {
    servers = 2
  }
}

run "a_network_is_a_private_24" {
  command         = plan
  expect_failures = [var.network]

  variables {
    network = "203.0.113.0/24"
  }
}

run "the_network_of_a_machines_bridge_is_taken" {
  command         = plan
  expect_failures = [var.network]

  variables {
    network = "172.31.250.0/24"
  }
}

run "no_password_in_the_url" {
  command         = plan
  expect_failures = [var.repository]

  variables {
    repository = "https://operator:secret@git.example.com/bookstore.git"
  }
}

run "go_is_checked" {
  command         = plan
  expect_failures = [var.go]

  variables {
    go = {
      url    = "https://go.dev/dl/go1.26.0.linux-amd64.tar.gz"
      sha256 = ""
    }
  }
}

run "somebody_gets_in" {
  command         = plan
  expect_failures = [var.ssh_keys]

  variables {
    ssh_keys = []
  }
}

run "the_way_out_has_addresses_alone" {
  command         = plan
  expect_failures = [var.egress]

  variables {
    egress = ["s3.example.com:443"]
  }
}
