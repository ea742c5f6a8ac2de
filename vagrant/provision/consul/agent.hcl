# One Consul agent. 60-consul.sh fills in what stands between @ signs.
datacenter       = "dc1"
data_dir         = "@STATE@/consul"
server           = @SERVER@
bootstrap_expect = @BOOTSTRAP@
bind_addr        = "@ADDRESS@"
client_addr      = "127.0.0.1"
retry_join       = @SERVERS@

# A stopped agent keeps its place: what it knew is there again when it is started.
leave_on_terminate = false
skip_leave_on_interrupt = true

ui_config {
  enabled = true
}

connect {
  enabled = true
}

ports {
  grpc = 8502
}

# A service reaches another only through an intention (jobs/mesh).
default_intention_policy = "deny"

performance {
  raft_multiplier = 1
}

# Every sidecar, template and member of one machine shares this agent.
limits {
  http_max_conns_per_client = 2000
}

telemetry {
  prometheus_retention_time = "60s"
  disable_hostname          = true
}

log_level = "INFO"
