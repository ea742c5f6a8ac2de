# What every Envoy of the mesh does.
Kind = "proxy-defaults"
Name = "global"

Config {
  protocol = "http"

  # Each sidecar's own metrics; the jobs map the port, Prometheus finds it through Consul.
  envoy_prometheus_bind_addr = "0.0.0.0:9110"

  # How long an answer may take is the caller's to say (15 s, or what its route says): the sidecar of
  # the one that answers would cut streams too.
  local_request_timeout_ms = 0
}
