# Who may call orders; everyone else is refused by its sidecar.
Kind = "service-intentions"
Name = "orders"

Sources = [
  {
    Name   = "gateway"
    Action = "allow"
  },
  {
    Name   = "coordinator"
    Action = "allow"
  },
]
