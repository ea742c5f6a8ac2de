package gateway

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/prometheus/client_golang/prometheus"
)

// destination is an upstream with a circuit breaker, a retry budget and a limit of its own, so that one that fails takes
// nothing from the others.
type destination struct {
	breaker *breaker
	budget  *budget
	limiter adaptivelimiter.AdaptiveLimiter[any]
	maxWait time.Duration // for a permit
	least   int           // of the limits that limiter may choose
	backlog *backlog

	rerouted, resent, resendRefused, shed prometheus.Counter
}

// The queue of a destination at its limit: up to once the limit may wait; above that a growing share of calls is refused,
// and above twice the limit every one.
const (
	queueFree = 1
	queueMost = 2
)

func newDestinations(settings Resilience, m metrics, log *slog.Logger) map[Upstream]*destination {
	destinations := map[Upstream]*destination{}
	for _, r := range Routes() {
		if destinations[r.Upstream] == nil {
			own := settings.withDefaults()
			if r.Upstream == Coordinator {
				own = own.forQueues()
			}
			destinations[r.Upstream] = newDestination(string(r.Upstream), own, m, log)
		}
	}
	return destinations
}

func newDestination(name string, settings Resilience, m metrics, log *slog.Logger) *destination {
	opened := m.opened.WithLabelValues(name)
	d := &destination{
		breaker: newBreaker(settings.CircuitThreshold, settings.CircuitOpenFirst, settings.CircuitOpenFor, func(state circuitState) {
			if state == circuitOpen {
				opened.Inc()
			}
			log.Warn("circuit", "destination", name, "state", state.String())
		}),
		budget: newBudget(settings.ResendShare, settings.ResendLeast),
		limiter: adaptivelimiter.NewBuilder[any]().
			WithLimits(settings.InFlightLeast, settings.InFlightMost, settings.InFlightFirst).
			WithQueueing(queueFree, queueMost).
			Build(),
		maxWait:       settings.InFlightWait,
		least:         int(settings.InFlightLeast),
		backlog:       m.backlog,
		rerouted:      m.reroutes.WithLabelValues(name, bySidecar),
		resent:        m.reroutes.WithLabelValues(name, byGateway),
		resendRefused: m.resendsRefused.WithLabelValues(name),
		shed:          m.shed.WithLabelValues(name),
	}
	m.registerGauges(name, d)
	return d
}

// Resilience configures the circuit, the retry budget and the limit of calls in flight that each destination has in each
// gateway. A zero field means the default in its tag.
type Resilience struct {
	// CircuitThreshold is the number of reroutes of failed calls, without a success between, that opens a circuit.
	CircuitThreshold uint `env:"CIRCUIT_THRESHOLD" envDefault:"3"`
	// Where no instance answered, a circuit is open for CircuitOpenFirst until the first trial call, then twice as long
	// after each that fails, up to CircuitOpenFor.
	CircuitOpenFirst time.Duration `env:"CIRCUIT_OPEN_FIRST" envDefault:"500ms"`
	CircuitOpenFor   time.Duration `env:"CIRCUIT_OPEN_FOR" envDefault:"10s"`

	// The retry budget: the gateway sends again at most this share of the calls of the last ten seconds, or ResendLeast
	// calls if that is more.
	ResendShare float64 `env:"RESEND_SHARE" envDefault:"0.2"`
	ResendLeast int     `env:"RESEND_LEAST" envDefault:"20"`

	// The limit of calls in flight adapts to response times, between Least and Most, from First. Least is what a burst
	// gets after a quiet night.
	InFlightLeast uint `env:"UPSTREAM_IN_FLIGHT_LEAST" envDefault:"32"`
	InFlightFirst uint `env:"UPSTREAM_IN_FLIGHT_FIRST" envDefault:"64"`
	InFlightMost  uint `env:"UPSTREAM_IN_FLIGHT_MOST" envDefault:"128"`
	// InFlightWait is how long a call waits at most once the limit is reached.
	InFlightWait time.Duration `env:"UPSTREAM_IN_FLIGHT_WAIT" envDefault:"50ms"`
}

// Validate reports every problem at once.
func (r Resilience) Validate() error {
	var problems []error
	require := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	require(r.CircuitThreshold >= 1, "CIRCUIT_THRESHOLD: must be positive")
	require(r.CircuitOpenFirst > 0 && r.CircuitOpenFirst <= r.CircuitOpenFor,
		"CIRCUIT_OPEN_FIRST: must be positive, and at most CIRCUIT_OPEN_FOR")
	require(r.ResendShare > 0 && r.ResendShare <= 1, "RESEND_SHARE: must be above 0 and at most 1")
	require(r.ResendLeast >= 1, "RESEND_LEAST: must be positive")
	require(r.InFlightLeast >= 1 && r.InFlightLeast <= r.InFlightFirst && r.InFlightFirst <= r.InFlightMost,
		"UPSTREAM_IN_FLIGHT_FIRST: must be between UPSTREAM_IN_FLIGHT_LEAST, which must be positive, and UPSTREAM_IN_FLIGHT_MOST")
	require(r.InFlightWait > 0, "UPSTREAM_IN_FLIGHT_WAIT: must be positive")
	return errors.Join(problems...)
}

func (r Resilience) withDefaults() Resilience {
	return Resilience{
		CircuitThreshold: cmp.Or(r.CircuitThreshold, 3),
		CircuitOpenFirst: cmp.Or(r.CircuitOpenFirst, 500*time.Millisecond),
		CircuitOpenFor:   cmp.Or(r.CircuitOpenFor, 10*time.Second),
		ResendShare:      cmp.Or(r.ResendShare, 0.2),
		ResendLeast:      cmp.Or(r.ResendLeast, 20),
		InFlightLeast:    cmp.Or(r.InFlightLeast, 32),
		InFlightFirst:    cmp.Or(r.InFlightFirst, 64),
		InFlightMost:     cmp.Or(r.InFlightMost, 128),
		InFlightWait:     cmp.Or(r.InFlightWait, 50*time.Millisecond),
	}
}

// forQueues are the settings for a service with admission queues of its own, the coordinator. Its response times do not
// show load, since all buyers of one book wait for one row; it refuses by itself what it cannot do in time. So its limit
// only bounds memory. A quarter of the least limit is open to late requests (lateShare): as many as one client may have
// in flight.
func (r Resilience) forQueues() Resilience {
	const least, most = 256, 512
	r.InFlightLeast, r.InFlightFirst, r.InFlightMost = max(r.InFlightLeast, least), max(r.InFlightFirst, least), max(r.InFlightMost, most)
	return r
}

// metrics holds the destinations and their counters.
type metrics struct {
	registry       prometheus.Registerer
	backlog        *backlog
	opened         *prometheus.CounterVec
	reroutes       *prometheus.CounterVec
	resendsRefused *prometheus.CounterVec
	shed           *prometheus.CounterVec

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
		resendsRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "resends_refused_total", Help: "Retries that the gateway did not make because its retry budget was spent.",
		}, []string{"destination"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upstream_shed_total", Help: "Calls refused with overloaded because the destination was at its limit of calls in flight.",
		}, []string{"destination"}),
	}
	registry.MustRegister(m.opened, m.reroutes, m.resendsRefused, m.shed)
	m.destinations = newDestinations(settings, m, log)
	return m
}

// registerGauges registers the gauges of a destination.
func (m metrics) registerGauges(name string, d *destination) {
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
