# Where a call to coordinator may be sent again, to another instance when one is there. A call that may have
# been carried out is repeated only when that does no harm: reads, POST with an Idempotency-Key, and the
# internal calls: whoever asks about a transaction is told its one decision, however often.
# All else is repeated only when no instance has seen it. The answer carries the number of attempts.
# The gateway may send again what was tried twice here: what it may repeat is tried once more only.
# Streams of events alone may last: -1s is without a time-out, and what keeps them is that they are
# heard of every ten seconds.
Kind = "service-router"
Name = "coordinator"

Routes = [
  {
    Match = {
      HTTP = {
        PathRegex = "/checkouts/[^/]+/events"
        Methods   = ["GET"]
      }
    }
    Destination = {
      RequestTimeout = "-1s"
      IdleTimeout    = "30s"
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
        Methods    = ["GET", "HEAD"]
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
