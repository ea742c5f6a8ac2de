override_data {
  target = data.nomad_nodes.all
  values = {
    nodes = [
      { id = "33333333-3333-4333-8333-333333333333", name = "one", status = "ready" },
      { id = "22222222-2222-4222-8222-222222222222", name = "two", status = "down" },
      { id = "11111111-1111-4111-8111-111111111111", name = "three", status = "ready" },
      { id = "00000000-0000-4000-8000-000000000000", name = "one", status = "down" },
    ]
  }
}

# Members are even over hosts in the order of their names, no replica of the cache begins beside its master, and a host that
# is down keeps its volume.
run "three_hosts" {
  command = plan

  assert {
    condition     = [for i in range(5) : output.hosts["patroni[${i}]"]] == ["one", "three", "two", "one", "three"]
    error_message = "Members go over the hosts in the order of their names."
  }
  assert {
    condition     = alltrue([for i in range(3) : output.hosts["redis[${i}]"] != output.hosts["redis[${i + 3}]"]])
    error_message = "No replica of the cache is on the host of its master."
  }
  assert {
    condition     = nomad_dynamic_host_volume.this["backup@two"].node_id == "22222222-2222-4222-8222-222222222222" && nomad_dynamic_host_volume.this["backup@one"].node_id == "33333333-3333-4333-8333-333333333333"
    error_message = "A host that is down keeps its volume, and of two nodes of a name the ready one is meant."
  }
  assert {
    condition     = nomad_dynamic_host_volume.this["redis[0]"].parameters == tomap({ mode = "0700", uid = "10002", gid = "10002" })
    error_message = "A volume belongs to the user of what writes to it."
  }
}

# A volume that the state does not know is wanted where it is already: 'go tool shop machine' has given it that host.
run "a_moved_member" {
  command = plan

  override_data {
    target = data.nomad_node.each
    values = {
      host_volumes = [{ id = "v", name = "patroni[1]", path = "/", read_only = false }, { id = "w", name = "backup", path = "/", read_only = false }]
    }
  }

  assert {
    condition     = nomad_dynamic_host_volume.this["patroni[1]"].node_id == "00000000-0000-4000-8000-000000000000"
    error_message = "The volume stays on its host."
  }
  assert {
    condition     = nomad_dynamic_host_volume.this["backup@two"].node_id == "22222222-2222-4222-8222-222222222222"
    error_message = "Each host has its own volume for backups."
  }
}

run "named_hosts" {
  command = plan
  variables {
    hosts       = ["one", "three"]
    redis_nodes = 8
  }

  assert {
    condition     = !contains(keys(nomad_dynamic_host_volume.this), "backup@two") && contains(keys(nomad_dynamic_host_volume.this), "redis[7]")
    error_message = "Only the named hosts have volumes."
  }
  assert {
    condition     = alltrue([for i in range(4) : output.hosts["redis[${i}]"] != output.hosts["redis[${i + 4}]"]])
    error_message = "No replica of the cache is on the host of its master."
  }
}

run "an_unknown_host" {
  command = plan
  variables {
    hosts = ["four"]
  }
  expect_failures = [data.nomad_nodes.all]
}

run "an_odd_cache" {
  command = plan
  variables {
    redis_nodes = 7
  }
  expect_failures = [var.redis_nodes]
}
