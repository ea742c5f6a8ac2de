mock_provider "consul" {}

# Every file of jobs/mesh is an entry, in a tier that it can be made in.
run "entries" {
  command = apply

  assert {
    condition     = length(output.entries) == length(fileset("${path.module}/../../..", "jobs/mesh/*.hcl"))
    error_message = "An entry for each file is wanted."
  }
  assert {
    condition     = alltrue([for key in keys(output.entries) : !startswith(key, "service-router/") || contains(keys(consul_config_entry.routers), key)])
    error_message = "A router is made after the defaults and resolvers."
  }
  assert {
    condition     = length(consul_config_entry.defaults) + length(consul_config_entry.resolvers) + length(consul_config_entry.routers) + length(consul_config_entry.others) == length(output.entries)
    error_message = "Each entry is in one tier."
  }
  assert {
    condition     = alltrue([for source in jsondecode(output.entries["service-intentions/books"]).Sources : source.Precedence == 9])
    error_message = "Consul fills in 9 as the precedence."
  }
}

run "again" {
  command = plan

  assert {
    condition     = jsondecode(output.entries["proxy-defaults/global"]).Config.protocol == "http"
    error_message = "The defaults are those of the file."
  }
}

run "elsewhere" {
  command = plan
  variables {
    root = "."
  }
  expect_failures = [var.root]
}
