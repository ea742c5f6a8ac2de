# Who may call payments; everyone else is refused by its sidecar.
Kind = "service-intentions"
Name = "payments"

Sources = [
  {
    Name   = "coordinator"
    Action = "allow"
  },
]
