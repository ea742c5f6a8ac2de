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

# No HTTP in clear, no DNS. What the sidecars ask by gRPC, with their tokens, Nomad passes on from a socket in each
# allocation: only root gets to those ports (50-network.sh). Nobody uses the one with TLS, but without it Nomad takes the
# agent for one that serves no sidecars.
ports {
  http     = -1
  https    = 8501
  grpc     = 8502
  grpc_tls = 8503
  dns      = -1
}

tls {
  defaults {
    ca_file         = "@ACCESS@/ca.pem"
    cert_file       = "@ACCESS@/agent.pem"
    key_file        = "@ACCESS@/agent-key.pem"
    verify_incoming = true
    verify_outgoing = true
  }

  internal_rpc {
    verify_server_hostname = true
  }

  # Who calls proves itself with a token.
  https {
    verify_incoming = false
  }
}

# Nobody may do anything without a token (jobs/acl).
acl {
  enabled        = true
  default_policy = "deny"
  down_policy    = "extend-cache"
}

# A service reaches another only through an intention (jobs/mesh).
default_intention_policy = "deny"

performance {
  raft_multiplier = 1
}

# Of several machines one that is silent is found dead within three seconds, not seven: until then sidecars send to its instances
# what they have to. One that is only late says so and is back a second later.
gossip_lan {
  probe_interval = "500ms"
  probe_timeout  = "300ms"
  suspicion_mult = 3
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
