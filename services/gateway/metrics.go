package gateway

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds the destinations and their counters.
type metrics struct {
	registry prometheus.Registerer
	backlog  *backlog
	opened   *prometheus.CounterVec
	reroutes *prometheus.CounterVec
	unsent   *prometheus.CounterVec
	shed     *prometheus.CounterVec

	destinations map[Upstream]*destination
}

// Who made a reroute.
const (
	byGateway = "gateway"
	bySidecar = "sidecar"
)

func newMetrics(settings Resilience, registry prometheus.Registerer, log *slog.Logger) metrics {
	m := metrics{
		registry: registry,
		backlog:  newBacklog(registry),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "circuit_opened_total", Help: "Times that the circuit of a destination opened.",
		}, []string{"destination"}),
		reroutes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reroutes_total", Help: "Retries of calls to a destination, by who made them: gateway or sidecar.",
		}, []string{"destination", "by"}),
		unsent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "resends_refused_total", Help: "Retries that the gateway did not make because its retry budget was spent.",
		}, []string{"destination"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upstream_shed_total", Help: "Calls refused with overloaded because the destination was at its limit of calls in flight.",
		}, []string{"destination"}),
	}
	registry.MustRegister(m.opened, m.reroutes, m.unsent, m.shed)
	m.destinations = newDestinations(settings, m, log)
	return m
}

// watch registers the gauges of a destination.
func (m metrics) watch(name string, d *destination) {
	labels := prometheus.Labels{"destination": name}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "circuit_state", Help: "State of a destination's circuit: 0 closed, 1 half-open, 2 open.", ConstLabels: labels,
		}, func() float64 { return float64(d.breaker.state()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_in_flight_limit", Help: "Current limit of calls in flight to a destination.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Limit()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_in_flight", Help: "Calls in flight to a destination.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Inflight()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_waiting", Help: "Calls queued for a destination that is at its limit.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Queued()) }),
	)
}
