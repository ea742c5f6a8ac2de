# One Nomad agent. 70-nomad.sh fills in what stands between @ signs.
data_dir   = "@STATE@/nomad"
bind_addr  = "@ADDRESS@"
datacenter = "dc1"

# The HTTP API has no ACLs here and can start any container: it listens on this machine alone.
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

  # On one machine only 127.0.0.1 offers the ingress, checks and metrics.
  host_network "loopback" {
    cidr = "127.0.0.1/32"
  }

  meta {
    "connect.sidecar_image" = "bookstore/envoy:@ENVOY@"
    "connect.gateway_image" = "bookstore/envoy:@ENVOY@"
  }

  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
  }
}

plugin "docker" {
  config {
    infra_image = "bookstore/pause:@VERSION@"

    # Images are built on the machine and cannot be pulled again.
    gc {
      image = false
    }
  }
}

consul {
  address      = "127.0.0.1:8500"
  grpc_address = "127.0.0.1:8502"
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
