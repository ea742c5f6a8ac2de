terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.68"
    }
  }
}

# The token is taken from HCLOUD_TOKEN.
provider "hcloud" {}
