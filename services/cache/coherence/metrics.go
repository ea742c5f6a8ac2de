package coherence

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// sharedCounts returns the registry's one counter: a gateway has a tier for reads and another in its announcer.
func sharedCounts(reg prometheus.Registerer) *prometheus.CounterVec {
	return registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_shared_total", Help: "Calls to the shared cache in Redis, by operation (lookup, store, raise, stale) and result; skipped: not made because the shard had just failed.",
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
