# Who may call gateway; everyone else is refused by its sidecar.
Kind = "service-intentions"
Name = "gateway"

Sources = [
  {
    Name   = "ingress"
    Action = "allow"
  },
]
