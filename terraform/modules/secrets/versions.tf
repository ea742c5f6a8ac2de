terraform {
  required_version = ">= 1.11, < 2.0" # write-only arguments

  required_providers {
    nomad = {
      source  = "hashicorp/nomad"
      version = "~> 2.6"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.9" # random_bytes as an ephemeral resource
    }
    # Built into Terraform: it reads jobs/secrets.hcl.
    terraform = {
      source = "terraform.io/builtin/terraform"
    }
  }
}
