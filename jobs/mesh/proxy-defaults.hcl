# What every Envoy of the mesh does.
Kind = "proxy-defaults"
Name = "global"

Config {
  protocol = "http"

  # Each sidecar's own metrics; the jobs map the port, Prometheus finds it through Consul.
  envoy_prometheus_bind_addr = "0.0.0.0:9110"
}
