# prometheus: finds every service, sidecar and agent through Consul and keeps two days of their metrics. On each machine a proxy
# lets it have those of the machine's agents, which listen on 127.0.0.1 alone.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/prometheus:<version>."

  validation {
    condition     = var.version != "" && var.version != "latest"
    error_message = "A fixed version is needed: Nomad would try to pull 'latest'."
  }
}

variable "envoy_version" {
  type        = string
  default     = "0.1.0"
  description = "The tag of the proxies' image: bookstore/envoy:<envoy_version>."

  validation {
    condition     = var.envoy_version != "" && var.envoy_version != "latest"
    error_message = "A fixed version is needed: Nomad would try to pull 'latest'."
  }
}

variable "ingress_count" {
  type        = number
  default     = 1
  description = "How many machines there are: each has an ingress, and a proxy to its agents."

  validation {
    condition     = var.ingress_count >= 1 && var.ingress_count <= 8
    error_message = "Between 1 and 8 machines."
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

variable "datacenter" {
  type        = string
  default     = "dc1"
  description = "The Nomad datacenter to run in."

  validation {
    condition     = var.datacenter != ""
    error_message = "The name of a datacenter of the Nomad region."
  }
}

variable "ui_network" {
  type        = string
  default     = "loopback"
  description = "The host network that port 9090 is offered on: loopback on one machine, default on many."

  validation {
    condition     = var.ui_network != ""
    error_message = "The name of a host network of the clients: loopback or default."
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

job "prometheus" {
  datacenters = [var.datacenter]
  type        = "service"

  update {
    health_check      = "checks"
    min_healthy_time  = "3s"
    healthy_deadline  = "3m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "prometheus" {
    count          = 1
    shutdown_delay = "1s"

    restart {
      attempts = 5
      interval = "2m"
      delay    = "2s"
      mode     = "delay"
    }

    network {
      port "http" {
        static       = 9090
        host_network = var.ui_network
      }
    }

    service {
      name = "prometheus"
      port = "http"

      check {
        name     = "ready"
        type     = "http"
        path     = "/-/ready"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "prometheus" {
      driver       = "docker"
      kill_timeout = "20s"

      consul {}

      config {
        image = "bookstore/prometheus:${var.version}"

        # The exposed metrics of one machine's services are on its loopback interface.
        network_mode = "host"

        args = [
          "--config.file=${NOMAD_TASK_DIR}/prometheus.yml",
          "--storage.tsdb.path=${NOMAD_ALLOC_DIR}/data/prometheus",
          "--storage.tsdb.retention.time=48h",
          "--storage.tsdb.retention.size=512MB",
          "--web.listen-address=${NOMAD_ADDR_http}",
          # No page of another origin reads it in a browser on this machine; by itself Prometheus allows every one.
          "--web.cors.origin=^$",
        ]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      template {
        destination   = "${NOMAD_TASK_DIR}/prometheus.yml"
        data          = file("${var.root}/jobs/prometheus/prometheus.yml")
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }

      # What Alertmanager asks for. Prometheus reads it for each call.
      template {
        destination = "${NOMAD_SECRETS_DIR}/alertmanager"
        change_mode = "noop"
        uid         = 10004
        gid         = 10004
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs/prometheus\" }}{{ .alertmanager_password }}{{ end }}"
      }

      # The rules speak of labels in braces of their own.
      template {
        destination     = "${NOMAD_TASK_DIR}/rules/transactions.yml"
        data            = file("${var.root}/jobs/prometheus/rules/transactions.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/gateway.yml"
        data            = file("${var.root}/jobs/prometheus/rules/gateway.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/database.yml"
        data            = file("${var.root}/jobs/prometheus/rules/database.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/cache.yml"
        data            = file("${var.root}/jobs/prometheus/rules/cache.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/batch.yml"
        data            = file("${var.root}/jobs/prometheus/rules/batch.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/cleaners.yml"
        data            = file("${var.root}/jobs/prometheus/rules/cleaners.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/machines.yml"
        data            = file("${var.root}/jobs/prometheus/rules/machines.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/platform.yml"
        data            = file("${var.root}/jobs/prometheus/rules/platform.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      template {
        destination     = "${NOMAD_TASK_DIR}/rules/slo.yml"
        data            = file("${var.root}/jobs/prometheus/rules/slo.yml")
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
      }

      # The targets, from Consul: Prometheus re-reads a file that changed.
      template {
        destination = "${NOMAD_TASK_DIR}/targets/metrics.yml"
        data        = replace(file("${var.root}/jobs/prometheus/targets.yml.tpl"), "KIND", "metrics")
        change_mode = "noop"

        wait {
          min = "5s"
          max = "15s"
        }
      }

      template {
        destination = "${NOMAD_TASK_DIR}/targets/envoy.yml"
        data        = replace(file("${var.root}/jobs/prometheus/targets.yml.tpl"), "KIND", "envoy")
        change_mode = "noop"

        wait {
          min = "5s"
          max = "15s"
        }
      }

      template {
        destination = "${NOMAD_TASK_DIR}/targets/agents.yml"
        data        = replace(file("${var.root}/jobs/prometheus/targets.yml.tpl"), "KIND", "agents")
        change_mode = "noop"

        wait {
          min = "5s"
          max = "15s"
        }
      }

      resources {
        cpu    = 70
        memory = 256
      }
    }
  }

  group "agents" {
    count = var.ingress_count

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
      port "metrics" {
        host_network = var.expose_network
      }
    }

    service {
      name = "agents"
      port = "metrics"

      meta {
        agents = "${NOMAD_ADDR_metrics}"
      }

      check {
        name     = "listening"
        type     = "tcp"
        interval = "10s"
        timeout  = "1s"
      }
    }

    task "agents" {
      driver       = "docker"
      kill_timeout = "5s"
      user         = "10004" # who may reach the agents (50-network.sh, 52-egress.sh)

      consul {}

      config {
        image        = "bookstore/envoy:${var.envoy_version}"
        network_mode = "host"
        args         = ["-c", "${NOMAD_SECRETS_DIR}/agents/envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      # The CA of the agents.
      template {
        destination = "${NOMAD_SECRETS_DIR}/agents/ca.pem"
        change_mode = "restart"
        uid         = 10004
        gid         = 10004
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs\" }}{{ .agent_ca }}{{ end }}"
      }

      # With the task's token, for which Consul's agent gives its metrics.
      template {
        destination = "${NOMAD_SECRETS_DIR}/agents/envoy.yaml"
        change_mode = "restart"
        uid         = 10004
        gid         = 10004
        perms       = "0400"
        data        = file("${var.root}/jobs/prometheus/agents.yaml.tpl")
      }

      logs {
        max_files     = 2
        max_file_size = 1
      }

      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}
