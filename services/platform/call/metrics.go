package call

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
)

// metrics are shared by all clients of one registry.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "calls_total", Help: "Calls to other services by outcome: done, refused or unknown.",
		}, []string{"destination", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "call_duration_seconds", Help: "Duration of calls to other services.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"destination"}),
	}
	if registry != nil {
		m.calls = registered(registry, m.calls)
		m.duration = registered(registry, m.duration)
	}
	return m
}

// registered returns the collector that the registry has already, or c.
func registered[C prometheus.Collector](registry *prometheus.Registry, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(c); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}

func (m *metrics) done(destination string, err error, took time.Duration) {
	outcome := "done"
	switch {
	case fault.Unknown(err):
		outcome = "unknown"
	case fault.Refused(err):
		outcome = "refused"
	}
	m.calls.WithLabelValues(destination, outcome).Inc()
	m.duration.WithLabelValues(destination).Observe(took.Seconds())
}
