# ingress: the one way in. Consul's ingress gateway (Envoy) with listeners of its own: https://127.0.0.1:8443, and on a
# developer's machine http://127.0.0.1:8080; where an ACME directory certifies it, what that asks on 8081.

variable "envoy_version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/envoy:<envoy_version>."

  validation {
    condition     = var.envoy_version != "" && var.envoy_version != "latest"
    error_message = "A fixed version is needed: Nomad would try to pull 'latest'."
  }
}

variable "root" {
  type        = string
  default     = "."
  description = "The top of the checkout, where the files are that this job loads."

  validation {
    condition     = var.root != ""
    error_message = "The path of a checkout, from where the job is submitted."
  }
}

variable "files" {
  type        = string
  default     = ""
  description = "A digest of the loaded files, for tools that notice changes by variables alone. The job does not use it."

  validation {
    condition     = strlen(var.files) <= 128
    error_message = "A digest has at most 128 characters."
  }
}

variable "ingress_count" {
  type        = number
  default     = 1
  description = "How many instances, each on a host of its own: their ports are fixed."

  validation {
    condition     = var.ingress_count >= 1 && var.ingress_count <= 8
    error_message = "Between 1 and 8 instances."
  }
}

variable "plain_http" {
  type        = bool
  default     = true
  description = "Whether port 8080 is offered too, without TLS: on a developer's machine."
}

variable "acme" {
  type = object({
    domains   = list(string)
    email     = string
    directory = string
    ca        = string
  })
  default = {
    domains   = []
    email     = ""
    directory = "https://acme-v02.api.letsencrypt.org/directory"
    ca        = ""
  }
  description = "The names whose certificate an ACME directory gives, and how (jobs/acme.nomad.hcl). Where there are any, 8081 answers its challenges."

  validation {
    condition     = length(var.acme.domains) <= 100
    error_message = "100 names at most."
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

variable "ingress_network" {
  type        = string
  default     = "loopback"
  description = "The host network that the doors are offered on: loopback on one machine, default on many."

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
    count          = var.ingress_count
    shutdown_delay = "1s"

    constraint {
      operator = "distinct_hosts"
      value    = var.ingress_count > 1
    }

    restart {
      attempts = 5
      interval = "2m"
      delay    = "2s"
      mode     = "delay"
    }

    network {
      mode = "bridge"

      port "https" {
        static       = 8443
        to           = 8443
        host_network = var.ingress_network
      }

      dynamic "port" {
        for_each = var.plain_http ? ["http"] : []
        labels   = [port.value]

        content {
          static       = 8080
          to           = 8080
          host_network = var.ingress_network
        }
      }

      # Challenges of the directory and redirections to https, nothing else.
      dynamic "port" {
        for_each = length(var.acme.domains) > 0 ? ["redirect"] : []
        labels   = [port.value]

        content {
          static       = 8081
          to           = 8081
          host_network = var.ingress_network
        }
      }

      port "envoy" {
        to           = 9110
        host_network = var.expose_network
      }
    }

    service {
      name = "ingress"
      port = "https"

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
            # Consul makes routes of it; the listeners that Envoy opens are those of ingress/listeners.yaml.tpl.
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
      }
    }

    # In place of the task that Nomad would add: that one can load no files.
    task "connect-ingress-ingress" {
      kind           = "connect-ingress:ingress"
      driver         = "docker"
      kill_timeout   = "20s"
      shutdown_delay = "5s"

      config {
        image = "bookstore/envoy:${var.envoy_version}"
        args = [
          "-c", "${NOMAD_SECRETS_DIR}/envoy_bootstrap.json",
          "--config-yaml", file("${var.root}/jobs/ingress/bootstrap.yaml"),
          "-l", "${meta.connect.log_level}",
          "--concurrency", "${meta.connect.proxy_concurrency}",
          "--disable-hot-restart",
        ]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        PLAIN_HTTP = var.plain_http
        REDIRECT   = length(var.acme.domains) > 0
      }

      template {
        destination = "${NOMAD_TASK_DIR}/listeners.yaml"
        change_mode = "noop"
        data        = file("${var.root}/jobs/ingress/listeners.yaml.tpl")
      }

      # Envoy reads it again when it changes.
      template {
        destination = "${NOMAD_SECRETS_DIR}/certificate.yaml"
        change_mode = "noop"
        uid         = 65532
        gid         = 65532
        perms       = "0400"
        data        = file("${var.root}/jobs/ingress/certificate.yaml.tpl")
      }

      # So are the routes of 8081.
      dynamic "template" {
        for_each = length(var.acme.domains) > 0 ? ["redirect"] : []

        content {
          destination = "${NOMAD_SECRETS_DIR}/redirect.yaml"
          change_mode = "noop"
          uid         = 65532
          gid         = 65532
          perms       = "0400"
          data        = file("${var.root}/jobs/ingress/redirect.yaml.tpl")
        }
      }

      resources {
        cpu = 280
        # Above what its overload manager lets it have (ingress/bootstrap.yaml).
        memory = 368
      }
    }
  }
}
