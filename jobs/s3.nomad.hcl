# s3: the S3 server of the second backup repository, for where there is none elsewhere.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/s3:<version>."

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

job "s3" {
  datacenters = [var.datacenter]
  type        = "service"

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "3s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "s3" {
    count = var.s3.endpoint == "s3.bookstore.internal" ? 1 : 0

    restart {
      attempts = 20
      interval = "2m"
      delay    = "1s"
      mode     = "delay"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    network {
      mode = "bridge"

      port "s3" {
        static = var.s3.port
        to     = 9440
      }
    }

    volume "s3" {
      type            = "host"
      source          = "s3"
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    service {
      name = "s3"
      port = "s3"

      check {
        name            = "health"
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true # it is asked by its address, and certified by its name
        path            = "/health"
        interval        = "10s"
        timeout         = "3s"
      }
    }

    task "s3" {
      driver       = "docker"
      kill_timeout = "20s"

      config {
        image = "bookstore/s3:${var.version}"

        args = [
          "--port", ":9440",
          "--region", var.s3.region,
          "--cert", "${NOMAD_SECRETS_DIR}/certificate.pem",
          "--key", "${NOMAD_SECRETS_DIR}/key.pem",
          "--health", "/health",
          "--quiet",
          "--max-connections", "64",
          "--max-requests", "32",
          "posix", "--dir-perms", "0700", "--file-perms", "0600", "--concurrency", "32", "/data",
        ]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        GOMEMLIMIT = "48MiB"
        GOMAXPROCS = "2"
      }

      volume_mount {
        volume      = "s3"
        destination = "/data"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/root.env"
        env         = true
        change_mode = "restart"
        uid         = 10005
        gid         = 10005
        perms       = "0400"
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/s3" }}
          ROOT_ACCESS_KEY={{ .access_key }}
          ROOT_SECRET_KEY={{ .secret_key }}
          {{- end }}
        EOT
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/certificate.pem"
        change_mode = "restart"
        uid         = 10005
        gid         = 10005
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs/s3\" }}{{ .certificate }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/key.pem"
        change_mode = "restart"
        uid         = 10005
        gid         = 10005
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs/s3\" }}{{ .private_key }}{{ end }}"
      }

      logs {
        max_files     = 2
        max_file_size = 1
      }

      resources {
        cpu    = 40
        memory = 64
      }
    }
  }
}
