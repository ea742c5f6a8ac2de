variables {
  first = "server1"
  machines = {
    server1 = { role = "server", address = "10.31.250.11" }
    server2 = { role = "both", address = "10.31.250.12" }
    client1 = { role = "client", address = "10.31.250.101" }
  }
  hosts = { server1 = "192.0.2.1", server2 = "192.0.2.2", client1 = "client1.example.com" }
}

run "each_other_machine_gets_its_own" {
  command = plan

  assert {
    condition = (
      length(regexall("go tool shop bundle --operator 10\\.31\\.250\\.12' \\|\n  at 192\\.0\\.2\\.2 ", output.script)) == 1 &&
      length(regexall("go tool shop bundle 10\\.31\\.250\\.101' \\|\n  at client1\\.example\\.com ", output.script)) == 1 &&
      length(regexall("shop bundle", output.script)) == 2
    )
    error_message = "Servers get the operator's tokens, too, clients none; the first gets nothing."
  }
}

run "the_first_is_a_machine" {
  command         = plan
  expect_failures = [var.first]

  variables {
    first = "server9"
  }
}

run "every_machine_can_be_reached" {
  command         = plan
  expect_failures = [var.hosts]

  variables {
    hosts = { server1 = "192.0.2.1" }
  }
}

run "roles_are_three" {
  command         = plan
  expect_failures = [var.machines]

  variables {
    machines = {
      server1 = { role = "leader", address = "10.31.250.11" }
    }
  }
}
