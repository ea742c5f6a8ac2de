package gateway

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the gateway counts beyond requests.
type metrics struct {
	reroutes *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		reroutes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_reroutes_total", Help: "Calls sent a second time because the first came to nothing, by upstream.",
		}, []string{"upstream"}),
	}
	registry.MustRegister(m.reroutes)
	return m
}
