# Where a call to gateway may be sent again, to another instance when one is there. A call that may have
# been carried out is repeated only when that does no harm: reads, POST with an Idempotency-Key.
# All else is repeated only when no instance has seen it. What a gateway has answered itself is not repeated: it
# says so by x-envoy-ratelimited. Nothing that is Envoy's goes on to the client.
# A book is read from the instance that its path belongs to, so that each keeps its part of the books.
# Streams of events alone may last: -1s is without a time-out, and what keeps them is that they are
# heard of every ten seconds.
Kind = "service-router"
Name = "gateway"

Routes = [
  {
    Match = {
      HTTP = {
        PathRegex = "/books/[0-9]+"
        Methods   = ["GET", "HEAD"]
      }
    }
    Destination = {
      Service    = "gateway-by-path"
      NumRetries = 2
      RetryOn    = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Remove = ["x-envoy-attempt-count", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-decorator-operation"]
      }
    }
  },
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
      NumRetries     = 2
      RetryOn        = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Remove = ["x-envoy-attempt-count", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-decorator-operation"]
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
      NumRetries = 2
      RetryOn    = ["connect-failure", "refused-stream", "reset", "gateway-error"]
      ResponseHeaders = {
        Remove = ["x-envoy-attempt-count", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-decorator-operation"]
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
        Remove = ["x-envoy-attempt-count", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-decorator-operation"]
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
        Remove = ["x-envoy-attempt-count", "x-envoy-ratelimited", "x-envoy-upstream-service-time", "x-envoy-decorator-operation"]
      }
    }
  },
]
