# The ingresses, each of which has to answer a challenge.
service "ingress" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
