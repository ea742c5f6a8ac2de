# Where the nodes of the cache are.
service "redis" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
