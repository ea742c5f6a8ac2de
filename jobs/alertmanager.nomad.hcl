# alertmanager: tells people of the alerts that Prometheus finds, by a webhook and by e-mail (alertmanager/alertmanager.yml.tpl). One
# is on each machine, for the Prometheus that may run there.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/alertmanager:<version>."

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

variable "ingress_count" {
  type        = number
  default     = 1
  description = "How many machines there are: each has an Alertmanager."

  validation {
    condition     = var.ingress_count >= 1 && var.ingress_count <= 8
    error_message = "Between 1 and 8 machines."
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

job "alertmanager" {
  datacenters = [var.datacenter]
  type        = "service"

  update {
    health_check      = "checks"
    min_healthy_time  = "3s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "alertmanager" {
    count = var.ingress_count

    constraint {
      operator = "distinct_hosts"
      value    = var.ingress_count > 1
    }

    # Silences, and what was told, outlast an update on the same machine.
    ephemeral_disk {
      size   = 64
      sticky = true
    }

    restart {
      attempts = 5
      interval = "2m"
      delay    = "2s"
      mode     = "delay"
    }

    network {
      port "http" {
        static       = 9093
        host_network = "loopback"
      }
    }

    service {
      name = "alertmanager"
      port = "http"

      check {
        name     = "listening"
        type     = "tcp"
        interval = "5s"
        timeout  = "1s"
      }
    }

    task "alertmanager" {
      driver       = "docker"
      kill_timeout = "10s"

      config {
        image = "bookstore/alertmanager:${var.version}"

        # The firewall opens the way to the receivers for its user alone; on the bridge it would be open for all.
        network_mode = "host"

        args = [
          "--config.file=${NOMAD_SECRETS_DIR}/alertmanager.yml",
          "--web.config.file=${NOMAD_SECRETS_DIR}/web.yml",
          "--web.listen-address=${NOMAD_ADDR_http}",
          "--web.external-url=http://${NOMAD_ADDR_http}",
          "--storage.path=${NOMAD_ALLOC_DIR}/data/alertmanager",
          "--cluster.listen-address=", # each is for its own machine
        ]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        GOMEMLIMIT = "32MiB"
        GOMAXPROCS = "2"
      }

      # Who is told, with the webhook's address and the password of e-mail. Alertmanager keeps what it has where it cannot read it.
      template {
        destination   = "${NOMAD_SECRETS_DIR}/alertmanager.yml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        uid           = 10007
        gid           = 10007
        perms         = "0400"
        data          = file("${var.root}/jobs/alertmanager/alertmanager.yml.tpl")
      }

      # Read for each request. The hash differs each time that it is made, which is no reason to start anew.
      template {
        destination = "${NOMAD_SECRETS_DIR}/web.yml"
        change_mode = "noop"
        uid         = 10007
        gid         = 10007
        perms       = "0400"
        data        = file("${var.root}/jobs/alertmanager/web.yml.tpl")
      }

      logs {
        max_files     = 2
        max_file_size = 1
      }

      resources {
        cpu    = 10
        memory = 40
      }
    }
  }
}
