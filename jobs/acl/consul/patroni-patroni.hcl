# The cluster's state, the leader's key first.
key_prefix "service/patroni/" {
  policy = "write"
}

# Sessions belong to nodes.
session_prefix "" {
  policy = "write"
}

# What clients find the members by.
service "patroni" {
  policy = "write"
}

# The certificate that the members show.
service "postgres" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}

agent_prefix "" {
  policy = "read"
}
