mock_provider "nomad" {}

variables {
  versions = {
    backup       = "0.1.0-a", books = "0.1.0-b", coordinator = "0.1.0-c", envoy = "0.1.0-d", gateway = "0.1.0-e", migrate = "0.1.0-f", orders = "0.1.0-g",
    patroni      = "0.1.0-h", payments = "0.1.0-i", prometheus = "0.1.0-j", redis = "0.1.0-k", s3 = "0.1.0-l", warehouse = "0.1.0-m",
    alertmanager = "0.1.0-o",
  }
}

# Every job but a restore has its images, the file of variables and its own settings.
run "one_machine" {
  command = apply

  assert {
    condition     = length(setintersection(keys(nomad_job.this), ["acme", "restore"])) == 0 && length(nomad_job.this) == length(fileset("${path.module}/../../../jobs", "*.nomad.hcl")) - 2
    error_message = "Every job but restore is wanted, and acme, which has no domain."
  }
  assert {
    condition     = output.variables["books"].version == "0.1.0-b" && output.variables["books"].envoy_version == "0.1.0-d"
    error_message = "A job has the tag of its own image, and of the sidecar's."
  }
  assert {
    condition     = output.variables["backup"].version == "0.1.0-a" && output.variables["backup"].patroni_version == "0.1.0-h"
    error_message = "A job has the tag of each of its images."
  }
  assert {
    condition     = length(output.variables["redis"].files) == 64 && !contains(keys(output.variables["books"]), "files")
    error_message = "A job that loads files has their digest."
  }
  assert {
    condition     = nomad_job.this["patroni"].detach && !nomad_job.this["books"].detach && nomad_job.this["redis"].preserve_counts
    error_message = "What has data is not waited for; the cache's count is not Terraform's."
  }
}

run "many_machines" {
  command = plan
  variables {
    var_file = "many"
    settings = { books = { count = "3" } }
  }

  assert {
    condition     = output.variables["books"].distinct_hosts == "true" && output.variables["books"].count == "3"
    error_message = "The file of variables and the job's own settings are passed on."
  }
  assert {
    condition     = !contains(keys(output.variables["orders"]), "count")
    error_message = "A setting is of its job alone."
  }
}

run "certified" {
  command = plan
  variables {
    versions = merge(var.versions, { acme = "0.1.0-n" })
    settings = { for job in ["acme", "ingress"] : job => { acme = "{\"domains\":[\"shop.example.com\"],\"email\":\"\",\"directory\":\"https://acme.example.com\",\"ca\":\"\"}" } }
  }

  assert {
    condition     = contains(keys(nomad_job.this), "acme")
    error_message = "Whoever names a domain has it certified."
  }
}

run "without_s3" {
  command = plan
  variables {
    exclude = ["s3"]
  }

  assert {
    condition     = !contains(keys(nomad_job.this), "s3")
    error_message = "What is not wanted is not there."
  }
}

run "no_shop_without_its_database" {
  command = plan
  variables {
    exclude = ["patroni"]
  }
  expect_failures = [var.exclude]
}

run "a_tag_is_missing" {
  command = plan
  variables {
    versions = {}
  }
  expect_failures = [nomad_job.this]
}

run "latest" {
  command = plan
  variables {
    versions = { books = "latest" }
  }
  expect_failures = [var.versions]
}
