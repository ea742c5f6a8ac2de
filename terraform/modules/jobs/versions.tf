terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    nomad = {
      source  = "hashicorp/nomad"
      version = "~> 2.6"
    }
    # Built into Terraform: it reads the var-files that `nomad job run` takes.
    terraform = {
      source = "terraform.io/builtin/terraform"
    }
  }
}
