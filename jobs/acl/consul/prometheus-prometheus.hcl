# Everything that has metrics.
service_prefix "" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}

# The agents' own metrics.
agent_prefix "" {
  policy = "read"
}
