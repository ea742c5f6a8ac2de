# patroni: PostgreSQL, one leader and four replicas, each on a volume of its own.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/patroni:<version>."

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
  default     = 5
  description = "How many members. Each needs its volume patroni[<index>]."

  validation {
    condition     = var.count >= 3 && var.count <= 9
    error_message = "Between 3 and 9 members: a commit waits for two standbys."
  }
}

variable "expose_network" {
  type        = string
  default     = "loopback"
  description = "The host network on which the fences tell how their members are: loopback on one machine, default on many."

  validation {
    condition     = var.expose_network != ""
    error_message = "The name of a host network of the clients: loopback or default."
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

job "patroni" {
  datacenters = [var.datacenter]
  type        = "service"

  # The next member is touched when the one before streams again.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "15m"
    auto_revert       = true
  }

  group "patroni" {
    count = var.count

    # A member's data is where its volume is: it is started again there, without end.
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

    # A drained machine's members stop together, since their volumes allow no replacement elsewhere. Three stay: a leader and the
    # two standbys that a commit waits for.
    migrate {
      max_parallel     = max(1, var.count - 3)
      health_check     = "checks"
      min_healthy_time = "5s"
      healthy_deadline = "5m"
    }

    network {
      mode = "host"

      port "pg" {}

      port "rest" {}

      # What the fence tells Consul's agent and Prometheus of the member: Patroni itself answers members alone.
      port "status" {
        host_network = var.expose_network
      }
    }

    volume "data" {
      type            = "host"
      source          = "patroni"
      per_alloc       = true
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    # Backups and archived WAL, of all members together.
    volume "backup" {
      type            = "host"
      source          = "backup"
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    # Patroni itself registers the service "patroni" that clients look for. This one tells
    # Nomad when a member is up and Prometheus where its metrics are; it restarts nothing.
    service {
      name = "patroni-rest"
      port = "rest"

      meta {
        member  = "patroni-${NOMAD_ALLOC_INDEX}"
        metrics = "${NOMAD_ADDR_status}"
      }

      check {
        name     = "readiness"
        type     = "http"
        port     = "status"
        path     = "/readiness"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "patroni" {
      driver = "docker"

      # A leader hands over, then Patroni stops PostgreSQL: 2 s, 8 s and primary_stop_timeout at most.
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      consul {}

      config {
        image        = "bookstore/patroni:${var.version}"
        network_mode = "host"
        shm_size     = 67108864
        extra_hosts  = ["s3.bookstore.internal:${meta.s3_address}"]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 512

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
        CONSUL_HTTP_ADDR = "https://127.0.0.1:8501"
        CONSUL_CACERT    = "${NOMAD_SECRETS_DIR}/agents-ca.pem"

        PATRONI_SCOPE                      = "patroni"
        PATRONI_NAME                       = "patroni-${NOMAD_ALLOC_INDEX}"
        PATRONI_POSTGRESQL_LISTEN          = "${NOMAD_ADDR_pg}"
        PATRONI_POSTGRESQL_CONNECT_ADDRESS = "${NOMAD_ADDR_pg}"
        PATRONI_RESTAPI_LISTEN             = "${NOMAD_ADDR_rest}"
        PATRONI_RESTAPI_CONNECT_ADDRESS    = "${NOMAD_ADDR_rest}"

        # For psql in the container.
        PGHOST = "/var/run/postgresql"
        PGPORT = "${NOMAD_PORT_pg}"

        PGBACKREST_CONFIG   = "${NOMAD_SECRETS_DIR}/pgbackrest.conf"
        PGBACKREST_PG1_PORT = "${NOMAD_PORT_pg}"

        BACKUP_KEYS = "nomad/jobs/patroni"
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

      volume_mount {
        volume      = "backup"
        destination = "/backup"
      }

      # The CA of Consul's agents, and of the S3 server.
      template {
        destination = "${NOMAD_SECRETS_DIR}/agents-ca.pem"
        change_mode = "noop"
        uid         = 10001
        gid         = 10001
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs\" }}{{ .agent_ca }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/patroni/patroni.yml"
        change_mode = "noop"
        data        = file("${var.root}/patroni/patroni.yml")
      }

      # Read with each run of pgbackrest.
      template {
        destination = "${NOMAD_SECRETS_DIR}/pgbackrest.conf"
        change_mode = "noop"
        uid         = 10001
        gid         = 10001
        perms       = "0400"
        data        = file("${var.root}/patroni/backup/pgbackrest.conf")
      }

      # Patroni reads new passwords on SIGHUP; the roles themselves are changed first (README).
      template {
        destination   = "${NOMAD_SECRETS_DIR}/patroni/passwords.yml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        uid           = 10001
        gid           = 10001
        perms         = "0600"
        data          = file("${var.root}/patroni/passwords.yml.tpl")
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/ca.pem"
        change_mode = "script"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"

        change_script {
          command       = "/usr/local/bin/reload.sh"
          timeout       = "10s"
          fail_on_error = false
        }
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/leaf.pem"
        change_mode = "script"
        uid         = 10001
        gid         = 10001
        perms       = "0600"
        data        = "{{ with caLeaf \"postgres\" }}{{ .CertPEM }}{{ .PrivateKeyPEM }}{{ end }}"

        change_script {
          command       = "/usr/local/bin/reload.sh"
          timeout       = "10s"
          fail_on_error = false
        }
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }

      resources {
        cpu    = 400
        memory = 504
      }
    }

    # Makes a silent leader's death certain and tells Consul of every member's (patroni/README.md).
    # It comes with the member's image, so that both are always of one version.
    task "fence" {
      driver = "docker"

      lifecycle {
        hook    = "poststart"
        sidecar = true
      }

      consul {}

      config {
        image        = "bookstore/patroni:${var.version}"
        entrypoint   = ["fence"]
        network_mode = "host"

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      # What kills the member: this token lets it talk to Nomad through ${NOMAD_SECRETS_DIR}/api.sock.
      # Where Nomad has ACLs, the job's identity needs a policy with alloc-lifecycle.
      identity {
        env = true
      }

      env {
        CONSUL_HTTP_ADDR = "https://127.0.0.1:8501"
        CONSUL_CACERT    = "${NOMAD_SECRETS_DIR}/agents-ca.pem"

        PATRONI_SCOPE                   = "patroni"
        PATRONI_NAME                    = "patroni-${NOMAD_ALLOC_INDEX}"
        PATRONI_RESTAPI_CONNECT_ADDRESS = "${NOMAD_ADDR_rest}"

        # It should be as poor as the member where processors are short: see fence/silence.go.
        GOMAXPROCS = "1"
        GOMEMLIMIT = "14MiB"
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      # The CA of Consul's agents.
      template {
        destination = "${NOMAD_SECRETS_DIR}/agents-ca.pem"
        change_mode = "noop"
        uid         = 10001
        gid         = 10001
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs\" }}{{ .agent_ca }}{{ end }}"
      }

      # What Patroni is asked with, read for each question.
      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/ca.pem"
        change_mode = "noop"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/leaf.pem"
        change_mode = "noop"
        uid         = 10001
        gid         = 10001
        perms       = "0600"
        data        = "{{ with caLeaf \"postgres\" }}{{ .CertPEM }}{{ .PrivateKeyPEM }}{{ end }}"
      }

      logs {
        max_files     = 2
        max_file_size = 1
      }

      resources {
        cpu    = 20
        memory = 20
      }
    }
  }
}
