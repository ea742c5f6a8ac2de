terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    consul = {
      source  = "hashicorp/consul"
      version = "~> 2.23"
    }
    nomad = {
      source  = "hashicorp/nomad"
      version = "~> 2.6"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.9"
    }
  }

  # The state is where the shop is, and goes with it; a session of Consul locks it. Address, CA and token are read from
  # CONSUL_HTTP_ADDR, CONSUL_CACERT and CONSUL_HTTP_TOKEN.
  backend "consul" {
    path = "terraform/shop"
    gzip = true
  }
}
