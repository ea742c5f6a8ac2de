# The agents' own metrics.
agent_prefix "" {
  policy = "read"
}
