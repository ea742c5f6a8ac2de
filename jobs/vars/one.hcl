# One machine: everything on it, nothing offered to its network but on 127.0.0.1.
datacenter = "dc1"
