# ingress: the Consul ingress gateway (Envoy), the one way in: 127.0.0.1:8080.

variable "datacenter" {
  type        = string
  default     = "dc1"
  description = "The Nomad datacenter to run in."

  validation {
    condition     = var.datacenter != ""
    error_message = "The name of a datacenter of the Nomad region."
  }
}

variable "ingress_network" {
  type        = string
  default     = "loopback"
  description = "The host network that port 8080 is offered on: loopback on one machine, default on many."

  validation {
    condition     = var.ingress_network != ""
    error_message = "The name of a host network of the clients: loopback or default."
  }
}

variable "expose_network" {
  type        = string
  default     = "loopback"
  description = "The host network of metrics: loopback on one machine, default on many."

  validation {
    condition     = var.expose_network != ""
    error_message = "The name of a host network of the clients: loopback or default."
  }
}

job "ingress" {
  datacenters = [var.datacenter]
  type        = "service"

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "3s"
    healthy_deadline  = "3m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "ingress" {
    count          = 1
    shutdown_delay = "1s"

    restart {
      attempts = 5
      interval = "2m"
      delay    = "2s"
      mode     = "delay"
    }

    network {
      mode = "bridge"

      port "http" {
        static       = 8080
        to           = 8080
        host_network = var.ingress_network
      }

      port "envoy" {
        to           = 9110
        host_network = var.expose_network
      }
    }

    service {
      name = "ingress"
      port = "http"

      meta {
        envoy = "${NOMAD_HOST_ADDR_envoy}"
      }

      check {
        name     = "listening"
        type     = "tcp"
        interval = "2s"
        timeout  = "1s"
      }

      connect {
        gateway {
          ingress {
            listener {
              port     = 8080
              protocol = "http"

              # No limits of connections or requests here: where a route leads to a service that fails over
              # (gateway-by-path does), Consul 1.22 panics over them.
              service {
                name  = "gateway"
                hosts = ["*"]

                # Who is at the other end of the connection, whatever the client says: neither this header of
                # its own nor X-Forwarded-For has a part in it. And when it called, by this machine's clock.
                request_headers {
                  set {
                    X-Client-Address = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
                    X-Request-Start  = "t=%START_TIME(%s.%6f)%"
                  }
                }
              }
            }
          }
        }

        sidecar_task {
          kill_timeout = "20s"

          config {
            cap_drop        = ["all"]
            security_opt    = ["no-new-privileges"]
            readonly_rootfs = true
            pids_limit      = 64
          }

          resources {
            cpu = 280
            # It holds up to a megabyte of each body until the gateway has refused it.
            memory = 368
          }
        }
      }
    }
  }
}
