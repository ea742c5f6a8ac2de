# orders: orders and their lines. Two stateless instances behind Envoy sidecars.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/orders:<version>."

  validation {
    condition     = var.version != "" && var.version != "latest"
    error_message = "A fixed version is needed: Nomad would try to pull 'latest'."
  }
}

variable "datacenter" {
  type        = string
  default     = "dc1"
  description = "The Nomad datacenter to run in."

  validation {
    condition     = var.datacenter != ""
    error_message = "The name of a datacenter of the Nomad region."
  }
}

variable "count" {
  type        = number
  default     = 2
  description = "How many instances."

  validation {
    condition     = var.count >= 1 && var.count <= 16
    error_message = "Between 1 and 16 instances."
  }
}

variable "expose_network" {
  type        = string
  default     = "loopback"
  description = "The host network of health checks and metrics: loopback on one machine, default on many."

  validation {
    condition     = var.expose_network != ""
    error_message = "The name of a host network of the clients: loopback or default."
  }
}

variable "distinct_hosts" {
  type        = bool
  default     = false
  description = "Whether each instance needs a host of its own."
}

job "orders" {
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

  group "orders" {
    count = var.count

    # Out of Consul first, then time for every sidecar to hear of it, then SIGTERM.
    shutdown_delay = "5s"

    dynamic "constraint" {
      for_each = var.distinct_hosts ? [true] : []

      content {
        operator = "distinct_hosts"
        value    = "true"
      }
    }

    restart {
      attempts = 5
      interval = "2m"
      delay    = "2s"
      mode     = "delay"
    }

    network {
      mode = "bridge"

      port "ready" {
        to           = -1
        host_network = var.expose_network
      }

      port "status" {
        to           = -1
        host_network = var.expose_network
      }

      port "metrics" {
        to           = -1
        host_network = var.expose_network
      }

      port "envoy" {
        to           = 9110
        host_network = var.expose_network
      }
    }

    service {
      name = "orders"
      port = "8080"

      meta {
        metrics = "${NOMAD_HOST_ADDR_metrics}"
        envoy   = "${NOMAD_HOST_ADDR_envoy}"
        status  = "${NOMAD_HOST_ADDR_status}"
      }

      check {
        name     = "ready"
        type     = "http"
        path     = "/ready"
        port     = "ready"
        expose   = true
        interval = "1s"
        timeout  = "2s"
      }

      connect {
        sidecar_service {
          # The check through the sidecar above is the true one.
          disable_default_tcp_check = true

          proxy {
            expose {
              path {
                path            = "/metrics"
                protocol        = "http"
                local_path_port = 8080
                listener_port   = "metrics"
              }

              path {
                path            = "/health"
                protocol        = "http"
                local_path_port = 8080
                listener_port   = "status"
              }
            }

            upstreams {
              destination_name = "coordinator"
              local_bind_port  = 9104
            }
          }
        }

        sidecar_task {
          kill_timeout = "20s"

          resources {
            cpu    = 50
            memory = 96
          }
        }
      }
    }

    task "orders" {
      driver       = "docker"
      kill_timeout = "20s"

      config {
        image = "bookstore/orders:${var.version}"
      }

      env {
        LISTEN_ADDR = "127.0.0.1:8080"
        VERSION     = var.version
        INSTANCE    = "${NOMAD_ALLOC_ID}"
        GOMEMLIMIT  = "80MiB"

        DB_DSN              = "postgres:///orderdb?role=orderdb_owner"
        DB_MEMBERS_FILE     = "${NOMAD_TASK_DIR}/patroni.members"
        DB_CREDENTIALS_FILE = "${NOMAD_SECRETS_DIR}/db.credentials"
        DB_CA_FILE          = "${NOMAD_TASK_DIR}/mesh-ca.pem"
        DB_MAX_CONNS        = "8"
        DB_READ_CONNS       = "3"

        # Whom it asks about branches in doubt.
        COORDINATOR_URL = "http://127.0.0.1:9104"
      }

      # Where the database's members are: re-read by the service, which never restarts for it. Rendering is a process
      # of Nomad's own, and not for the seconds in which the members find a new leader.
      template {
        destination = "${NOMAD_TASK_DIR}/patroni.members"
        change_mode = "noop"
        data        = <<-EOT
          {{- range service "patroni|any" }}
          {{ .Address }}:{{ .Port }}
          {{- end }}
        EOT

        wait {
          min = "2s"
          max = "5s"
        }
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/db.credentials"
        change_mode = "noop"
        data        = "{{ with nomadVar \"nomad/jobs/orders\" }}{{ .db_user }}:{{ .db_password }}{{ end }}"
      }

      template {
        destination = "${NOMAD_TASK_DIR}/mesh-ca.pem"
        change_mode = "noop"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"
      }

      resources {
        cpu    = 90
        memory = 96
      }
    }
  }
}
