# Where a call to orders may be sent again, to another instance when one is there. A call that may have
# been carried out is repeated only when that does no harm: reads, POST with an Idempotency-Key,
# and the internal calls, which are idempotent by their transaction's gid, or by their saga and step.
# All else is repeated only when no instance has seen it. The answer carries the number of attempts.
# The gateway may send again what was tried twice here: what it may repeat is tried once more only.
# Reads end after a second and a half, far below the time in which the gateway answers: it is by this time-out
# alone that the sidecar notices a slow instance and ejects it; the gateway asks again within its own.
Kind = "service-router"
Name = "orders"

Routes = [
  {
    Match = {
      HTTP = {
        PathPrefix = "/"
        Methods    = ["GET", "HEAD"]
      }
    }
    Destination = {
      RequestTimeout = "1500ms"
      NumRetries     = 1
      RetryOn        = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Set = {
          "x-envoy-attempt-count" = "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
        }
      }
    }
  },
  {
    Match = {
      HTTP = {
        PathPrefix = "/"
        Methods    = ["POST"]
        Header = [
          {
            Name    = "idempotency-key"
            Present = true
          },
        ]
      }
    }
    Destination = {
      NumRetries = 1
      RetryOn    = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Set = {
          "x-envoy-attempt-count" = "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
        }
      }
    }
  },
  {
    Match = {
      HTTP = {
        PathPrefix = "/internal/"
      }
    }
    Destination = {
      NumRetries = 2
      RetryOn    = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Set = {
          "x-envoy-attempt-count" = "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
        }
      }
    }
  },
  {
    Match = {
      HTTP = {
        PathPrefix = "/"
      }
    }
    Destination = {
      NumRetries = 2
      RetryOn    = ["connect-failure", "refused-stream"]
      ResponseHeaders = {
        Set = {
          "x-envoy-attempt-count" = "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
        }
      }
    }
  },
]
