package coherence

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// sharedCounts are one for all tiers of a registry: a gateway has one to read
// and one inside its announcer.
func sharedCounts(reg prometheus.Registerer) *prometheus.CounterVec {
	return registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_shared_total", Help: "Calls to the shared cache by operation and result.",
	}, []string{"op", "result"}))
}

// registered returns the collector that the registry has already, or c.
func registered[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var already prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}
