package gateway

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the destinations, and what is counted of them.
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
			Name: "circuit_opened_total", Help: "Times that a destination's circuit opened.",
		}, []string{"destination"}),
		reroutes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reroutes_total", Help: "Calls sent again because they had come to nothing, by who sent them again.",
		}, []string{"destination", "by"}),
		unsent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "resends_refused_total", Help: "Calls not sent again because the budget for it was spent.",
		}, []string{"destination"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upstream_shed_total", Help: "Calls refused because the destination had all it can carry.",
		}, []string{"destination"}),
	}
	registry.MustRegister(m.opened, m.reroutes, m.unsent, m.shed)
	m.destinations = newDestinations(settings, m, log)
	return m
}

// watch shows what a destination is at whenever it is asked for.
func (m metrics) watch(name string, d *destination) {
	labels := prometheus.Labels{"destination": name}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "circuit_state", Help: "Of a destination's circuit: 0 closed, 1 half-open, 2 open.", ConstLabels: labels,
		}, func() float64 { return float64(d.breaker.state()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_in_flight_limit", Help: "Calls that a destination may have in flight, as it stands.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Limit()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_in_flight", Help: "Calls that a destination has in flight.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Inflight()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "upstream_waiting", Help: "Calls that wait for one in flight to end.", ConstLabels: labels,
		}, func() float64 { return float64(d.limiter.Queued()) }),
	)
}
