# A dead member's session is ended, and with it the leader's key.
session_prefix "" {
  policy = "write"
}

key "service/patroni/leader" {
  policy = "read"
}
