# bare: a handler that does nothing, placed as the gateway is, for its benchmark to compare with.
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
            cpu    = 60
            memory = 64
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
        cpu    = 120
        memory = 48
      }
    }
  }
}
