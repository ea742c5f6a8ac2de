# Who may call books; everyone else is refused by its sidecar.
Kind = "service-intentions"
Name = "books"

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
