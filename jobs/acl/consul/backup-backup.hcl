# Who leads.
key "service/patroni/leader" {
  policy = "read"
}
