# Where the nodes of the cache are.
service "redis" {
  policy = "read"
}

# The certificate that it shows to them.
service "gateway-cache" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}
