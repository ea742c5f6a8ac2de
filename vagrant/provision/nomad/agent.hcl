# One Nomad agent. 70-nomad.sh fills in what stands between @ signs.
data_dir   = "@STATE@/nomad"
bind_addr  = "@ADDRESS@"
datacenter = "dc1"

# The HTTP API can start any container: beside its tokens, it listens on this machine alone.
addresses {
  http = "127.0.0.1"
}

advertise {
  http = "127.0.0.1"
  rpc  = "@ADDRESS@"
  serf = "@ADDRESS@"
}

server {
  enabled          = @SERVER@
  bootstrap_expect = @BOOTSTRAP@

  # A new leader takes every node for alive for so long. Nomad's own 5 minutes are for many more nodes than a shop has; a host
  # that died with the leader would keep its instances until then.
  failover_heartbeat_ttl = "30s"

  # A client whose server is silent notices that after 25 s (tried: a frozen machine) and goes to another one. With Nomad's own 10 s
  # of grace it would be taken for dead by then, and all its work stopped: a frozen machine would take a healthy one with it.
  heartbeat_grace = "30s"

  server_join {
    retry_join = @SERVERS@
  }
}

client {
  enabled           = @CLIENT@
  network_interface = "@INTERFACE@"
  cni_path          = "/usr/lib/cni:/opt/cni/bin"
  host_volumes_dir  = "@STATE@/volumes"
  servers           = @SERVERS@

  # What of the machine is the shop's; 0: all that it says it has.
  memory_total_mb   = @MEMORY@
  cpu_total_compute = @CPU@

  # Templates read from leaders. A server that has just started would answer them from its last snapshot: with passwords
  # that are void since.
  template {
    max_stale = "0s"
  }

  # On one machine only 127.0.0.1 offers the ingress, checks and metrics.
  host_network "loopback" {
    cidr = "127.0.0.1/32"
  }

  meta {
    "connect.sidecar_image" = "bookstore/envoy:@ENVOY@"
    "connect.gateway_image" = "bookstore/envoy:@ENVOY@"
    "s3_address"            = "@S3@"
  }

  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"

    # Whoever may submit jobs starts no program of this machine's.
    "driver.allowlist" = "docker"
  }
}

plugin "docker" {
  config {
    infra_image = "bookstore/pause:@VERSION@"

    # No task gets a right of root's, whatever its job asks for.
    allow_caps = []

    # Images are built on the machine and cannot be pulled again.
    gc {
      image = false
    }
  }
}

# Nobody may do anything without a token (jobs/acl).
acl {
  enabled = true
}

tls {
  http                   = true
  rpc                    = true
  ca_file                = "@ACCESS@/ca.pem"
  cert_file              = "@ACCESS@/agent.pem"
  key_file               = "@ACCESS@/agent-key.pem"
  verify_server_hostname = true

  # Who calls proves itself with a token.
  verify_https_client = false
}

# Services and tasks log in to Consul with an identity that Nomad signs for each, not with Nomad's own token.
consul {
  address      = "127.0.0.1:8501"
  ssl          = true
  ca_file      = "@ACCESS@/ca.pem"
  grpc_address = "127.0.0.1:8502"

  service_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }

  task_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }
}

telemetry {
  # Each collection asks Docker about every container, which measures each for a second or two. The
  # summaries of jobs come as often: with Prometheus' 15 s a run's end is known within a minute.
  collection_interval        = "40s"
  prometheus_metrics         = true
  publish_allocation_metrics = true
  publish_node_metrics       = true
}

log_level = "INFO"
