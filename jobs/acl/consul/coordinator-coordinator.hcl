# Where the members of the database are.
service "patroni" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
