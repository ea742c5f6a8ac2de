# Where a call to payments may be sent again, to another instance when one is there. A call that may have
# been carried out is repeated only when that does no harm: reads, POST with an Idempotency-Key,
# and the internal calls: steps are idempotent by their saga, and what the provider is asked with them.
# All else is repeated only when no instance has seen it. The answer carries the number of attempts.
Kind = "service-router"
Name = "payments"

Routes = [
  {
    Match = {
      HTTP = {
        PathPrefix = "/"
        Methods    = ["GET", "HEAD"]
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
