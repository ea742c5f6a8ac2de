# acme: every six hours, gets the ingress a certificate from an ACME directory when one is due. 'go tool task up' submits it
# where the variable acme names domains.

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The image's tag: bookstore/acme:<version>."

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

variable "acme" {
  type = object({
    domains   = list(string)
    email     = string
    directory = string
    ca        = string
  })
  default = {
    domains   = []
    email     = ""
    directory = "https://acme-v02.api.letsencrypt.org/directory"
    ca        = ""
  }
  description = "The names that the ingress' certificate is for, whom the directory writes to, its URL, and the CA (PEM) that signed its certificate if no public one did."

  validation {
    condition     = length(var.acme.domains) <= 100 && length([for d in var.acme.domains : d if regex_replace(d, "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z][a-z0-9-]{0,61}[a-z0-9]$", "") != ""]) == 0
    error_message = "Up to 100 names such as shop.example.com; no * and no address, since a directory asks at a name."
  }

  validation {
    condition     = regex_replace(var.acme.email, "^[^@ ]+@[^@ ]+$", "") == ""
    error_message = "An e-mail address or none."
  }

  validation {
    condition     = substr(var.acme.directory, 0, 8) == "https://"
    error_message = "The directory's URL begins with https://."
  }

  validation {
    condition     = var.acme.ca == "" || substr(var.acme.ca, 0, 10) == "-----BEGIN"
    error_message = "A certificate in PEM or none."
  }
}

job "acme" {
  datacenters = [var.datacenter]
  type        = "batch"

  periodic {
    crons            = ["17 */6 * * *"]
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  group "acme" {
    # Directories allow few failures in an hour, and a third of the certificate's time is left: the next run is soon enough.
    restart {
      attempts = 0
      interval = "1h"
      delay    = "30s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "acme" {
      driver       = "docker"
      kill_timeout = "20s"

      # What Nomad's own API asks of a task that calls it.
      identity {
        env = true
      }

      consul {}

      config {
        image        = "bookstore/acme:${var.version}"
        network_mode = "host"

        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 64
      }

      env {
        NOMAD_API = "unix://${NOMAD_SECRETS_DIR}/api.sock"
        DOMAINS   = join(",", var.acme.domains)
        EMAIL     = var.acme.email
        DIRECTORY = var.acme.directory
        CA_FILE   = var.acme.ca == "" ? "" : "${NOMAD_TASK_DIR}/ca.pem"
      }

      # Where challenges are answered: 8081 of each healthy ingress.
      template {
        destination = "${NOMAD_TASK_DIR}/ingresses.env"
        env         = true
        change_mode = "noop"
        data        = "INGRESSES={{ range $i, $s := service \"ingress\" }}{{ if $i }},{{ end }}{{ .Address }}:8081{{ end }}"
      }

      dynamic "template" {
        for_each = var.acme.ca == "" ? [] : [var.acme.ca]

        content {
          destination = "${NOMAD_TASK_DIR}/ca.pem"
          change_mode = "noop"
          data        = template.value
        }
      }

      resources {
        cpu    = 20
        memory = 48
      }
    }
  }
}
