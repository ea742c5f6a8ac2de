# Where the other nodes are, and the certificate that this one shows.
service "redis" {
  policy = "write"
}

# How many nodes there are to be.
key "redis/count" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
