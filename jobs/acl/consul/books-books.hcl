# Where the members of the database are.
service "patroni" {
  policy = "read"
}

# Where the nodes of the cache are.
service "redis" {
  policy = "read"
}

# The certificate that it shows to them.
service "books-cache" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}
