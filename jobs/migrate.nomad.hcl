# migrate: declares databases and roles, then brings each schema up to date. Runs to its end; repeating it does no harm.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/migrate:<version>."

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

job "migrate" {
  datacenters = [var.datacenter]
  type        = "batch"

  group "migrate" {
    restart {
      attempts = 10
      interval = "10m"
      delay    = "3s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "migrate" {
      driver       = "docker"
      kill_timeout = "20s"

      # It is the superuser, who logs in at the socket in a member's container: Nomad leads there.
      identity {
        env = true
      }

      config {
        image        = "bookstore/migrate:${var.version}"
        network_mode = "none"

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        DB_DSN      = "postgres:///postgres"
        NOMAD_API   = "unix://${NOMAD_SECRETS_DIR}/api.sock"
        LOGINS_FILE = "${NOMAD_SECRETS_DIR}/logins"
      }

      # The login roles of each database and their passwords.
      template {
        destination = "${NOMAD_SECRETS_DIR}/logins"
        change_mode = "noop"
        uid         = 65532
        gid         = 65532
        perms       = "0600"
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/migrate" }}
          bookdb_a {{ .bookdb_a_password }}
          bookdb_b {{ .bookdb_b_password }}
          orderdb_a {{ .orderdb_a_password }}
          orderdb_b {{ .orderdb_b_password }}
          paymentdb_a {{ .paymentdb_a_password }}
          paymentdb_b {{ .paymentdb_b_password }}
          coordinatordb_a {{ .coordinatordb_a_password }}
          coordinatordb_b {{ .coordinatordb_b_password }}
          exporter {{ .exporter_password }}
          warehouse {{ .warehouse_password }}
          {{- end }}
        EOT
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
