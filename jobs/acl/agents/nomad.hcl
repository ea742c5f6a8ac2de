# Nomad's agents: they register services and checks for the jobs, and write the ingress gateway's entry.
agent_prefix "" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}

service_prefix "" {
  policy = "write"
}

mesh = "write"

operator = "write"
