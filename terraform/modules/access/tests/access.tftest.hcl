mock_provider "nomad" {}
mock_provider "consul" {}

variables {
  agent_ca = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
}

# Each file of jobs/acl is a policy of the task that it is named after.
run "policies" {
  command = apply

  assert {
    condition     = length(output.roles) == length(fileset("${path.module}/../../../jobs/acl/consul", "*.hcl"))
    error_message = "Each task has a role at Consul."
  }
  assert {
    condition     = nomad_acl_policy.task["backup-s3-backup"].job_acl[0].group == "s3" && nomad_acl_policy.task["backup-s3-backup"].job_acl[0].task == "backup"
    error_message = "A name of three parts has the group in the middle."
  }
  assert {
    condition     = nomad_acl_policy.task["patroni-fence"].job_acl[0].job_id == "patroni" && nomad_acl_policy.task["patroni-fence"].job_acl[0].group == "patroni"
    error_message = "A name of two parts is of the group that has the job's name."
  }
  assert {
    condition     = consul_acl_binding_rule.task.bind_name == join("", ["nomad-", "$", "{value.nomad_job_id}-", "$", "{value.nomad_task}"])
    error_message = "A task gets the role that is named after it."
  }
}

run "no_certificate" {
  command = plan
  variables {
    agent_ca = "nothing"
  }
  expect_failures = [var.agent_ca]
}
