# Who may call coordinator; everyone else is refused by its sidecar.
Kind = "service-intentions"
Name = "coordinator"

Sources = [
  {
    Name   = "gateway"
    Action = "allow"
  },
  {
    Name   = "books"
    Action = "allow"
  },
  {
    Name   = "orders"
    Action = "allow"
  },
]
