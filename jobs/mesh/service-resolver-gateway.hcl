# gateway: what is not partitioned goes to the instance that has the least to do. One on a host that is silent is given up after half a
# second (by itself Envoy waits five).
Kind           = "service-resolver"
Name           = "gateway"
ConnectTimeout = "500ms"

LoadBalancer = {
  Policy = "least_request"
}
