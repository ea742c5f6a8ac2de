terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    consul = {
      source  = "hashicorp/consul"
      version = "~> 2.23"
    }
    # Built into Terraform: it reads the files that `consul config write` takes.
    terraform = {
      source = "terraform.io/builtin/terraform"
    }
  }
}
