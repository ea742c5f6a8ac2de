# bare: a handler that does nothing, placed as the gateway is, for its benchmark to compare with. Of processor time it has
# the gateway's shares of what the shop leaves.
job "bare" {
  datacenters = ["dc1"]
  type        = "service"

  group "bare" {
    count = 2

    network {
      mode = "bridge"

      port "ready" {
        to           = -1
        host_network = "loopback"
      }
    }

    service {
      name = "bare"
      port = "8080"

      check {
        name     = "ready"
        type     = "http"
        path     = "/ready"
        port     = "ready"
        expose   = true
        interval = "1s"
        timeout  = "2s"
      }

      connect {
        sidecar_service {
          disable_default_tcp_check = true
        }

        sidecar_task {
          resources {
            cpu    = 84
            memory = 96
          }
        }
      }
    }

    task "bare" {
      driver = "docker"

      config {
        image = "bookstore/bare:bench"
      }

      resources {
        cpu    = 61
        memory = 128
      }
    }
  }
}
