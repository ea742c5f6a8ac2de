# gateway-by-path is no service: it has no instances of its own and so stands, by failover, for those of
# gateway, whom it picks by a hash of the path. Maglev moves about 1/N of the paths when one of N is
# added. It has its own name because a resolver has one way of picking, and only books are partitioned
# (service-router-gateway.hcl): hashed too, every POST /orders would go to one and the same instance.
Kind           = "service-resolver"
Name           = "gateway-by-path"
ConnectTimeout = "500ms"

LoadBalancer = {
  Policy = "maglev"
  HashPolicies = [
    {
      Field      = "header"
      FieldValue = ":path"
    },
  ]
}

Failover = {
  "*" = {
    Service = "gateway"
  }
}
