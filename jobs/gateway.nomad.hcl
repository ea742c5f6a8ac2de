# gateway: the API's front: routes, tokens, retries. Two stateless instances behind Envoy sidecars.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/gateway:<version>."

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

variable "rate_limit" {
  type        = number
  default     = 200
  description = "Requests a second of one client, over all instances. Operators have five times as many."

  validation {
    condition     = var.rate_limit > 0 && var.rate_limit <= 200000
    error_message = "Above 0, at most 200,000 a second."
  }
}

variable "rate_burst" {
  type        = number
  default     = 400
  description = "Requests that one client may send at once after a pause."

  validation {
    condition     = var.rate_burst >= 1 && var.rate_burst <= 200000 && floor(var.rate_burst) == var.rate_burst
    error_message = "Between 1 and 200,000 requests."
  }
}

variable "max_in_flight" {
  type        = number
  default     = 64
  description = "Requests of one client that one instance answers at the same time."

  validation {
    condition     = var.max_in_flight >= 1 && var.max_in_flight <= 10000 && floor(var.max_in_flight) == var.max_in_flight
    error_message = "Between 1 and 10,000 requests."
  }
}

variable "near_cache_bytes" {
  type        = number
  default     = 33554432
  description = "Bytes of memory for the books that an instance keeps near, and an eighth of it for lists. With 1 nothing is near."

  validation {
    condition     = var.near_cache_bytes >= 1 && var.near_cache_bytes <= 67108864
    error_message = "Between 1 byte and 64 MiB: the task has 128 MB in all."
  }
}

job "gateway" {
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

  group "gateway" {
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
      name = "gateway"
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
              destination_name = "books"
              local_bind_port  = 9101
            }

            upstreams {
              destination_name = "orders"
              local_bind_port  = 9102
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
            cpu    = 220
            memory = 96
          }
        }
      }
    }

    task "gateway" {
      driver       = "docker"
      kill_timeout = "20s"

      config {
        image = "bookstore/gateway:${var.version}"
      }

      env {
        LISTEN_ADDR = "127.0.0.1:8080"
        VERSION     = var.version
        INSTANCE    = "${NOMAD_ALLOC_ID}"
        GOMEMLIMIT  = "110MiB"
        GOGC        = "400" # memory is there for it; the limit above holds

        BOOKS_URL       = "http://127.0.0.1:9101"
        ORDERS_URL      = "http://127.0.0.1:9102"
        COORDINATOR_URL = "http://127.0.0.1:9104"

        NEAR_CACHE_BYTES = "${var.near_cache_bytes}"

        RATE_LIMIT    = "${var.rate_limit}"
        RATE_BURST    = "${var.rate_burst}"
        MAX_IN_FLIGHT = "${var.max_in_flight}"

        TOKENS_FILE         = "${NOMAD_SECRETS_DIR}/tokens"
        REDIS_MEMBERS_FILE  = "${NOMAD_TASK_DIR}/redis.members"
        REDIS_PASSWORD_FILE = "${NOMAD_SECRETS_DIR}/redis.password"
        REDIS_CA_FILE       = "${NOMAD_TASK_DIR}/mesh-ca.pem"
      }

      # Where the cache's members are: re-read by the service, which never restarts for it.
      template {
        destination = "${NOMAD_TASK_DIR}/redis.members"
        change_mode = "noop"
        data        = <<-EOT
          {{- range service "redis|any" }}
          {{ .Address }}:{{ .Port }}
          {{- end }}
        EOT

        wait {
          min = "200ms"
          max = "1s"
        }
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/redis.password"
        change_mode = "noop"
        data        = "{{ with nomadVar \"nomad/jobs/gateway\" }}{{ .redis_password }}{{ end }}"
      }

      # Who is who: <name> <role> <token> [limits]. Import, tests and benchmarks are to find
      # the system's limits and not their own.
      template {
        destination = "${NOMAD_SECRETS_DIR}/tokens"
        change_mode = "noop"
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/gateway" }}
          operator operator {{ .operator_token }} rate=${5 * var.rate_limit} burst=${5 * var.rate_burst} inflight=${5 * var.max_in_flight}
          import client {{ .import_token }} rate=100000 burst=100000 inflight=2048
          test client {{ .test_token }} rate=100000 burst=100000 inflight=2048
          bench client {{ .bench_token }} rate=100000 burst=100000 inflight=2048
          {{- end }}
        EOT
      }

      template {
        destination = "${NOMAD_TASK_DIR}/mesh-ca.pem"
        change_mode = "noop"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"
      }

      resources {
        cpu    = 160
        memory = 128
      }
    }
  }
}
