variables {
  agent_ca = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
  certificates = {
    s3_certificate   = "s3"
    s3_private_key   = "its key"
    door_certificate = "door"
    door_private_key = "its key"
  }
}

# Each job of jobs/secrets.hcl has a variable. Planned alone: what is made cannot be destroyed.
run "new" {
  command = plan
  variables {
    existing = false
  }

  assert {
    condition     = length(output.paths) == length(provider::terraform::decode_tfvars(file("${path.module}/../../../jobs/secrets.hcl"))) + 1
    error_message = "A variable for each job, and one for the door's certificate."
  }
  assert {
    condition     = toset(keys(nomad_variable.third)) == toset(["backup", "restore"]) && contains(keys(nomad_variable.second), "patroni")
    error_message = "A job's variable is made after those that it takes from."
  }
}

run "certificates_are_missing" {
  command = plan
  variables {
    existing     = false
    certificates = {}
  }
  expect_failures = [var.certificates]
}

run "a_revision_of_nothing" {
  command = plan
  variables {
    existing = false
    revision = 2
  }
  expect_failures = [var.existing]
}
