package limit

import "github.com/prometheus/client_golang/prometheus"

// metrics are resolved once: a decision only adds to one of them.
type metrics struct {
	admitted, local, limited, tooMany prometheus.Counter
	granted, short, failed, busy      prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, clients func() int) metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "limit_decisions_total", Help: "Requests admitted or refused by their client's limits.",
	}, []string{"result"})
	leases := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "limit_leases_total", Help: "Requests to Redis for permits, by result.",
	}, []string{"result"})
	known := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "limit_clients", Help: "Clients known to this gateway's rate limiter.",
	}, func() float64 { return float64(clients()) })
	registry.MustRegister(decisions, leases, known)
	return metrics{
		admitted: decisions.WithLabelValues("admitted"), local: decisions.WithLabelValues("admitted_locally"),
		limited: decisions.WithLabelValues("rate_limited"), tooMany: decisions.WithLabelValues("too_many_in_flight"),
		granted: leases.WithLabelValues("granted"), short: leases.WithLabelValues("short"),
		failed: leases.WithLabelValues("failed"), busy: leases.WithLabelValues("busy"),
	}
}

func (m metrics) leased(q leaseRequest, g grant, err error) {
	switch {
	case err != nil:
		m.failed.Inc()
	case g.permits < q.wanted:
		m.short.Inc()
	default:
		m.granted.Inc()
	}
}
