# faulty: one more instance of books, which fails as the end-to-end tests tell it.
job "faulty" {
  datacenters = ["dc1"]
  type        = "service"

  group "faulty" {
    count = 1

    network {
      mode = "bridge"

      port "ready" {
        to           = -1
        host_network = "loopback"
      }

      port "control" {
        to           = -1
        host_network = "loopback"
      }
    }

    service {
      name = "books"
      port = "8080"

      meta {
        control = "${NOMAD_HOST_ADDR_control}"
      }

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

          proxy {
            expose {
              path {
                path            = "/control"
                protocol        = "http"
                local_path_port = 8080
                listener_port   = "control"
              }
            }
          }
        }

        sidecar_task {
          resources {
            cpu    = 60
            memory = 64
          }
        }
      }
    }

    task "faulty" {
      driver = "docker"

      config {
        image = "bookstore/faulty:test"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
