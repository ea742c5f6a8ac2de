# A dead member's session is ended, and with it the leader's key.
session_prefix "" {
  policy = "write"
}

key "service/patroni/leader" {
  policy = "read"
}

# Word of the sessions that it ended.
key_prefix "service/patroni/ended/" {
  policy = "write"
}

# The certificate that it asks the member with.
service "postgres" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}
