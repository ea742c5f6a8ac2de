# The tokens come from NOMAD_TOKEN and CONSUL_HTTP_TOKEN, and are in no file of Terraform's.
provider "nomad" {
  address = var.nomad_address
  ca_file = var.ca_file
}

provider "consul" {
  address = var.consul_address
  scheme  = "https"
  ca_file = var.ca_file
}
