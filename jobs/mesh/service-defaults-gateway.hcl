# gateway as it calls others, each by itself: an instance that fails it three times in a row is ejected
# for ten seconds, twenty the next time. Never more than half of them: where all fail, their database
# is away, and to have nobody left would only make it last.
# The limits are a wall behind what gateway admits by itself: where they are met, something is wrong,
# and this Envoy, of 96 MB, outlives it.
Kind     = "service-defaults"
Name     = "gateway"
Protocol = "http"

UpstreamConfig {
  Defaults {
    PassiveHealthCheck {
      Interval                = "1s"
      MaxFailures             = 3
      EnforcingConsecutive5xx = 100
      MaxEjectionPercent      = 50
      BaseEjectionTime        = "10s"
    }

    Limits {
      MaxConnections        = 640
      MaxPendingRequests    = 1280
      MaxConcurrentRequests = 1920
    }
  }
}
