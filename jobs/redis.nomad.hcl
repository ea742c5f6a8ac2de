# redis: the shared cache, a Redis cluster of masters with a replica each.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/redis:<version>."

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
  default     = 6
  description = "How many nodes at first, half of them masters. 'go tool task redis:scale' changes it while they run."

  validation {
    condition     = var.count >= 6 && var.count <= 12 && var.count % 2 == 0
    error_message = "An even number between 6 and 12: a cluster needs three masters, each with a replica."
  }
}

variable "maxmemory" {
  type        = number
  default     = 32
  description = "MB that one node keeps before it evicts."

  validation {
    condition     = var.maxmemory >= 8
    error_message = "At least 8 MB."
  }
}

variable "memory" {
  type        = number
  default     = 64
  description = "MB reserved for one node: twice maxmemory, for buffers and what a fork copies."

  validation {
    condition     = var.memory >= 48
    error_message = "At least 48 MB."
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

job "redis" {
  datacenters = [var.datacenter]
  type        = "service"

  # Long enough between two nodes for the one before to be back in the cluster.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "redis" {
    count = var.count

    # A node's place in the cluster is in its volume: it is started again there, without end.
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

    # A drained machine's nodes stop together, since their volumes allow no replacement elsewhere. Half of them stay, with a copy of
    # everything.
    migrate {
      max_parallel     = var.count / 2
      health_check     = "checks"
      min_healthy_time = "10s"
      healthy_deadline = "2m"
    }

    network {
      mode = "host"

      port "redis" {}
    }

    volume "data" {
      type            = "host"
      source          = "redis"
      per_alloc       = true
      access_mode     = "single-node-multi-writer"
      attachment_mode = "file-system"
    }

    service {
      name = "redis"
      port = "redis"

      meta {
        index = "${NOMAD_ALLOC_INDEX}"
      }

      check {
        name     = "port"
        type     = "tcp"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "redis" {
      driver       = "docker"
      kill_timeout = "15s"

      consul {}

      config {
        image        = "bookstore/redis:${var.version}"
        network_mode = "host"
        args         = ["--maxmemory", "${var.maxmemory}mb"]

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64

        mount {
          type     = "tmpfs"
          target   = "/tmp"
          readonly = false

          tmpfs_options {
            size = 1048576 # bytes
          }
        }
      }

      # REDIS_COUNT holds as long as Consul has no key redis/count.
      env {
        CONSUL_HTTP_ADDR = "https://127.0.0.1:8501"
        CONSUL_CACERT    = "${NOMAD_SECRETS_DIR}/agents-ca.pem"

        REDIS_CONF    = "${NOMAD_TASK_DIR}/redis.conf"
        REDIS_SECRETS = "${NOMAD_SECRETS_DIR}"
        REDIS_COUNT   = var.count
        REDIS_INDEX   = "${NOMAD_ALLOC_INDEX}"
        REDIS_ADDRESS = "${NOMAD_IP_redis}"
        REDIS_PORT    = "${NOMAD_PORT_redis}"

        # What runs beside the server has the rest of the memory, and little to do.
        GOMAXPROCS = "1"
        GOMEMLIMIT = "8MiB"
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      # The CA of Consul's agents.
      template {
        destination = "${NOMAD_SECRETS_DIR}/agents-ca.pem"
        change_mode = "noop"
        uid         = 10002
        gid         = 10002
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs\" }}{{ .agent_ca }}{{ end }}"
      }

      template {
        destination = "${NOMAD_TASK_DIR}/redis.conf"
        change_mode = "restart"
        data        = file("${var.root}/jobs/redis/redis.conf")
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/redis/users.acl"
        change_mode = "script"
        uid         = 10002
        gid         = 10002
        perms       = "0600"
        data        = file("${var.root}/jobs/redis/users.acl.tpl")

        change_script {
          command       = "/usr/local/bin/redis-care"
          args          = ["reload"]
          timeout       = "10s"
          fail_on_error = false
        }
      }

      # What the node is to others: while everybody is still the user default, replicas of nodes of before are that too, and
      # services show no certificate yet.
      template {
        destination = "${NOMAD_SECRETS_DIR}/redis/peer.conf"
        change_mode = "script"
        uid         = 10002
        gid         = 10002
        perms       = "0600"
        data        = <<-EOT
          {{ with nomadVar "nomad/jobs/redis" -}}
          {{ if .password.Value -}}
          masteruser default
          masterauth {{ .password }}
          tls-auth-clients optional
          {{- else -}}
          masteruser cluster
          masterauth {{ .cluster_password }}
          tls-auth-clients yes
          {{- end }}
          {{- end }}
        EOT

        change_script {
          command       = "/usr/local/bin/redis-care"
          args          = ["reload"]
          timeout       = "10s"
          fail_on_error = false
        }
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/redis/password"
        change_mode = "noop"
        uid         = 10002
        gid         = 10002
        perms       = "0600"
        data        = "{{ with nomadVar \"nomad/jobs/redis\" }}{{ .cluster_password }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/ca.pem"
        change_mode = "script"
        data        = "{{ range caRoots }}{{ .RootCertPEM }}{{ end }}"

        change_script {
          command       = "/usr/local/bin/redis-care"
          args          = ["reload"]
          timeout       = "10s"
          fail_on_error = false
        }
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/tls/leaf.pem"
        change_mode = "script"
        uid         = 10002
        gid         = 10002
        perms       = "0600"
        data        = "{{ with caLeaf \"redis\" }}{{ .CertPEM }}{{ .PrivateKeyPEM }}{{ end }}"

        change_script {
          command       = "/usr/local/bin/redis-care"
          args          = ["reload"]
          timeout       = "10s"
          fail_on_error = false
        }
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }

      resources {
        cpu    = 50
        memory = var.memory
      }
    }
  }
}
