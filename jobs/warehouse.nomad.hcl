# warehouse: every five minutes, exports all databases at one cut and publishes a version of them.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/warehouse:<version>."

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

job "warehouse" {
  datacenters = [var.datacenter]
  type        = "batch"

  periodic {
    crons            = ["*/5 * * * *"]
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  group "warehouse" {
    # Every machine has a volume, so that no machine's death ends the exports. One is preferred (services/operator/provide/home.go):
    # there a version is made from what changed since the last, which keeps the history.
    affinity {
      attribute = "${meta.warehouse}"
      value     = "home"
      weight    = 100
    }

    # The machine's own interfaces are not for it: it reaches the members of the database.
    network {
      mode = "bridge"
    }

    # What failed is tried again by the next run.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    volume "warehouse" {
      type            = "host"
      source          = "warehouse"
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    task "export" {
      driver       = "docker"
      kill_timeout = "20s"

      consul {}

      config {
        image = "bookstore/warehouse:${var.version}"
        args  = ["run"]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 128

        mount {
          type     = "tmpfs"
          target   = "/tmp"
          readonly = false

          tmpfs_options {
            size = 67108864 # bytes
          }
        }
      }

      env {
        DB_DSN              = "postgres:///coordinatordb"
        DB_MEMBERS_FILE     = "${NOMAD_TASK_DIR}/patroni.members"
        DB_CREDENTIALS_FILE = "${NOMAD_SECRETS_DIR}/db.credentials"
        DB_CA_FILE          = "${NOMAD_TASK_DIR}/mesh-ca.pem"
        GOMEMLIMIT          = "96MiB"
        THREADS             = "1"
      }

      volume_mount {
        volume      = "warehouse"
        destination = "/data"
      }

      template {
        destination = "${NOMAD_TASK_DIR}/patroni.members"
        change_mode = "noop"
        data        = <<-EOT
          {{- range service "patroni|any" }}
          {{ .Address }}:{{ .Port }}
          {{- end }}
        EOT
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/db.credentials"
        change_mode = "noop"
        data        = "{{ with nomadVar \"nomad/jobs/warehouse\" }}warehouse:{{ .db_password }}{{ end }}"
        uid         = 10003
        gid         = 10003
        perms       = "0600"
      }

      template {
        destination = "${NOMAD_TASK_DIR}/mesh-ca.pem"
        change_mode = "noop"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"
      }

      # It has time: whoever is served comes before it.
      resources {
        cpu    = 20
        memory = 512
      }
    }
  }
}
