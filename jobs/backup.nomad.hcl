# backup: hourly, has the leader back itself up; once a day proves it by restoring.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/backup:<version>."

  validation {
    condition     = var.version != "" && var.version != "latest"
    error_message = "A fixed version is needed: Nomad would try to pull 'latest'."
  }
}

variable "patroni_version" {
  type        = string
  default     = "0.1.0"
  description = "The tag of the members' image, which can restore: bookstore/patroni:<version>."

  validation {
    condition     = var.patroni_version != "" && var.patroni_version != "latest"
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

job "backup" {
  datacenters = [var.datacenter]
  type        = "batch"

  periodic {
    crons            = ["0 * * * *"]
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  group "backup" {
    restart {
      attempts = 3
      interval = "30m"
      delay    = "30s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    volume "backup" {
      type            = "host"
      source          = "backup"
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    # It does nothing itself: pgbackrest has to run where the data is, so Nomad runs it there.
    task "backup" {
      driver       = "docker"
      kill_timeout = "20s"

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      # What Nomad's own API asks of a task that calls it.
      identity {
        env = true
      }

      consul {}

      config {
        image        = "bookstore/backup:${var.version}"
        network_mode = "none"

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        NOMAD_API = "unix://${NOMAD_SECRETS_DIR}/api.sock"
      }

      # Waits for a leader.
      template {
        destination = "${NOMAD_TASK_DIR}/leader.env"
        env         = true
        change_mode = "noop"
        data        = "LEADER={{ key \"service/patroni/leader\" }}"
      }

      resources {
        cpu    = 20
        memory = 32
      }
    }

    task "verify" {
      driver       = "docker"
      kill_timeout = "20s"

      config {
        image        = "bookstore/patroni:${var.patroni_version}"
        network_mode = "none"
        entrypoint   = ["restore.sh"]
        args         = ["daily"]

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

        mount {
          type     = "tmpfs"
          target   = "/var/run/postgresql"
          readonly = false

          tmpfs_options {
            size = 1048576 # bytes
          }
        }
      }

      env {
        PGBACKREST_CONFIG = "${NOMAD_TASK_DIR}/pgbackrest.conf"
      }

      volume_mount {
        volume      = "backup"
        destination = "/backup"
      }

      template {
        destination = "${NOMAD_TASK_DIR}/pgbackrest.conf"
        change_mode = "noop"
        data        = file("${var.root}/patroni/backup/pgbackrest.conf")
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
