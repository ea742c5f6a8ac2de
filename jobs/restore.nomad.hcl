# restore: one step of bringing the members' data to a point in time, while the members do not run. Submitted by
# 'go tool task db:restore' (services/operator/restore), which says how the steps make a whole.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The tag of the members' image: bookstore/patroni:<version>."

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
  default     = 1
  description = "How many members the step is about: one to check and recover, all to swap."

  validation {
    condition     = var.count >= 1 && var.count <= 9
    error_message = "Between 1 and 9 members."
  }
}

variable "step" {
  type        = string
  default     = "check"
  description = "What to do: check, to or swap (patroni/image/restore.sh)."

  validation {
    condition     = contains(["check", "to", "swap"], var.step)
    error_message = "One of check, to and swap."
  }
}

variable "time" {
  type        = string
  default     = ""
  description = "The point in time, for check and to: 'YYYY-MM-DD HH:MM:SS', which patroni/image/restore.sh judges."

  validation {
    condition     = strlen(var.time) <= 40
    error_message = "A time like '2026-01-31 12:00:00', of UTC or with a zone."
  }
}

variable "repository" {
  type        = number
  default     = 1
  description = "The repository to restore from: 1 is on the volume backup, 2 in S3. The other one is not needed."

  validation {
    condition     = contains([1, 2], var.repository)
    error_message = "One of 1 and 2."
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

job "restore" {
  datacenters = [var.datacenter]
  type        = "batch"

  group "restore" {
    count = var.count

    # What fails once fails again: the operator is to see why.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    # The members' own volumes: patroni[0] is the one that is restored.
    volume "data" {
      type            = "host"
      source          = "patroni"
      per_alloc       = true
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    dynamic "volume" {
      for_each = var.repository == 1 ? ["backup"] : []
      labels   = [volume.value]

      content {
        type            = "host"
        source          = "backup"
        access_mode     = "single-node-multi-writer"
        attachment_mode = "file-system"
      }
    }

    # For S3: what is recovered also archives the beginning of its new timeline.
    network {
      mode = "bridge"
    }

    task "restore" {
      driver       = "docker"
      kill_timeout = "30s"

      config {
        image       = "bookstore/patroni:${var.version}"
        entrypoint  = ["restore.sh"]
        args        = compact([var.step, var.time])
        extra_hosts = ["s3.bookstore.internal:${meta.s3_address}"]

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
        REPOSITORY        = "${var.repository}"
        RESTORES          = "${NOMAD_SECRETS_DIR}/restores"

        BACKUP_KEYS = "nomad/jobs/restore"
        S3_ENDPOINT = var.s3.endpoint
        S3_PORT     = "${var.s3.port}"
        S3_BUCKET   = var.s3.bucket
        S3_REGION   = var.s3.region
        S3_PREFIX   = var.s3.prefix
        S3_CA_FILE  = var.s3.ca_file
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      dynamic "volume_mount" {
        for_each = var.repository == 1 ? ["backup"] : []

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

      # The restores so far, which the operator's command keeps.
      template {
        destination = "${NOMAD_SECRETS_DIR}/restores"
        change_mode = "noop"
        uid         = 10001
        gid         = 10001
        perms       = "0600"
        data        = "{{ with nomadVar \"nomad/jobs/restore\" }}{{ .restores }}{{ end }}"
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
        cpu    = 200
        memory = 256
      }
    }
  }
}
