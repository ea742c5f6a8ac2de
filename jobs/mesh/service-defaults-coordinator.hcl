# coordinator as others call it: an instance that fails three times in a row is ejected for ten seconds.
# Never more than half of them: where all fail, their database is away, and to have nobody left for
# ten seconds, the next time twenty, would only make it last.
Kind     = "service-defaults"
Name     = "coordinator"
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
  }
}
