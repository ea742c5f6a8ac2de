# Copy this to terraform.tfvars and put in your own values.
servers    = 3
clients    = 0
repository = "https://git.example.com/bookstore.git"
revision   = "v0.1.0"
go = { # of the linux-amd64 archive at https://go.dev/dl
  url    = "https://go.dev/dl/go1.26.0.linux-amd64.tar.gz"
  sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}
ssh_keys = {
  operator = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator@example.com"
}
operators   = ["192.0.2.7/32"]
server_type = "cpx32"
small_type  = "cx23"
