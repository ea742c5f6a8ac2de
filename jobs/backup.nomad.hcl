# backup: hourly, has the leader back itself up into each repository; once a day proves each by restoring from it.

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

variable "s3" {
  type = object({
    endpoint = string
    port     = number
    bucket   = string
    region   = string
    prefix   = string
    ca_file  = string
  })
  default = {
    endpoint = "s3.bookstore.internal"
    port     = 9440
    bucket   = "backups"
    region   = "bookstore"
    prefix   = "/shop"
    ca_file  = "/secrets/agents-ca.pem"
  }
  description = "Where the second backup repository is: the job s3, or an S3 elsewhere (patroni/backup/README.md)."

  validation {
    condition     = var.s3.endpoint != "" && var.s3.port > 0 && var.s3.port < 65536 && var.s3.bucket != "" && var.s3.region != "" && substr(var.s3.prefix, 0, 1) == "/" && substr(var.s3.ca_file, 0, 1) == "/"
    error_message = "A host, a port, a bucket, a region, a prefix like /shop, and the file of the CA in the container."
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

variable "scratch" {
  type        = number
  default     = 1000
  description = "MB of disk for the proof of a backup, which restores the databases."

  validation {
    condition     = var.scratch >= 300
    error_message = "300 MB or more: an empty shop needs that."
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

  # A group for each repository, so that Nomad counts the backups of each: neither needs the other. They take turns on
  # the leader.
  dynamic "group" {
    for_each = { backup = 1, s3 = 2 }
    labels   = [group.key]

    content {
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

      dynamic "volume" {
        for_each = group.value == 1 ? ["backup"] : []
        labels   = [volume.value]

        content {
          type            = "host"
          source          = "backup"
          access_mode     = "single-node-multi-writer"
          attachment_mode = "file-system"
        }
      }

      dynamic "network" {
        for_each = group.value == 2 ? ["bridge"] : []

        content {
          mode = network.value
        }
      }

      # What is proved is restored there: as large as the databases, for as long as the proof takes.
      ephemeral_disk {
        size = var.scratch
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
          NOMAD_API  = "unix://${NOMAD_SECRETS_DIR}/api.sock"
          REPOSITORY = "${group.value}"
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
          network_mode = group.value == 1 ? "none" : null
          entrypoint   = ["restore.sh"]
          args         = ["daily"]
          extra_hosts  = group.value == 1 ? [] : ["s3.bookstore.internal:${meta.s3_address}"]

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
          PGBACKREST_CONFIG = "${NOMAD_SECRETS_DIR}/pgbackrest.conf"
          REPOSITORY        = "${group.value}"
          SCRATCH_DIR       = "${NOMAD_ALLOC_DIR}/data"

          BACKUP_KEYS = "nomad/jobs/backup"
          S3_ENDPOINT = var.s3.endpoint
          S3_PORT     = "${var.s3.port}"
          S3_BUCKET   = var.s3.bucket
          S3_REGION   = var.s3.region
          S3_PREFIX   = var.s3.prefix
          S3_CA_FILE  = var.s3.ca_file
        }

        dynamic "volume_mount" {
          for_each = group.value == 1 ? ["backup"] : []

          content {
            volume      = "backup"
            destination = "/backup"
          }
        }

        template {
          destination = "${NOMAD_SECRETS_DIR}/pgbackrest.conf"
          change_mode = "noop"
          uid         = 10001
          gid         = 10001
          perms       = "0600"
          data        = file("${var.root}/patroni/backup/pgbackrest.conf")
        }

        template {
          destination = "${NOMAD_SECRETS_DIR}/agents-ca.pem"
          change_mode = "noop"
          uid         = 10001
          gid         = 10001
          perms       = "0600"
          data        = "{{ with nomadVar \"nomad/jobs\" }}{{ .agent_ca }}{{ end }}"
        }

        resources {
          cpu    = 100
          memory = 128
        }
      }
    }
  }
}
