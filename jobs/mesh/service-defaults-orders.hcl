# orders as others call it: an instance that fails three times in a row is ejected for ten seconds.
Kind     = "service-defaults"
Name     = "orders"
Protocol = "http"

UpstreamConfig {
  Defaults {
    PassiveHealthCheck {
      Interval                = "1s"
      MaxFailures             = 3
      EnforcingConsecutive5xx = 100
      MaxEjectionPercent      = 100
      BaseEjectionTime        = "10s"
    }
  }
}
