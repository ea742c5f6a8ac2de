# gateway: what is not partitioned goes to the instance that has the least to do.
Kind = "service-resolver"
Name = "gateway"

LoadBalancer = {
  Policy = "least_request"
}
