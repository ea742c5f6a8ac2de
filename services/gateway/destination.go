package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
)

// The queue of a destination at its limit: up to once the limit may wait; above that a growing share of calls is refused,
// and above twice the limit every one.
const (
	queueFree = 1
	queueMost = 2
)

// lateShare divides the least limit: this many slots stay open to late requests, so that shedding never idles the
// destination.
const lateShare = 4

// destination is an upstream with a circuit breaker, a retry budget and a limit of its own, so that one that fails takes
// nothing from the others.
type destination struct {
	breaker *breaker
	budget  *budget
	limiter adaptivelimiter.AdaptiveLimiter[any]
	wait    time.Duration
	least   int
	backlog *backlog

	rerouted, resent, unsent, shed prometheus.Counter
}

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
		breaker: newBreaker(settings.CircuitThreshold, settings.CircuitOpenFor, func(state circuitState) {
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
		wait:     settings.InFlightWait,
		least:    int(settings.InFlightLeast),
		backlog:  m.backlog,
		rerouted: m.reroutes.WithLabelValues(name, bySidecar),
		resent:   m.reroutes.WithLabelValues(name, byGateway),
		unsent:   m.unsent.WithLabelValues(name),
		shed:     m.shed.WithLabelValues(name),
	}
	m.watch(name, d)
	return d
}

// enter begins a call, or refuses it: fault.CircuitOpen, fault.Overloaded, or fault.DeadlineExceeded when the caller's
// deadline passed in the queue. After a nil error the caller must call leave.
func (d *destination) enter(caller context.Context, r Route) (*visit, error) {
	in, err := d.breaker.enter()
	if err != nil {
		return nil, err
	}
	permit, err := d.permit(caller)
	if err != nil {
		_ = d.breaker.leave(in, undecided, 0)
		if !errors.Is(err, adaptivelimiter.ErrExceeded) {
			return nil, broken(caller, err)
		}
		d.shed.Inc()
		return nil, &fault.Error{
			Kind: fault.Overloaded, RetryAfter: time.Second, Message: "a part of the shop has all that it can do; come back a little later",
		}
	}
	d.budget.called()
	deadline, limited := caller.Deadline()
	return &visit{
		destination: d, route: r, caller: caller, pass: in, permit: permit,
		patient: !limited || time.Until(deadline) >= r.Timeout/2,
	}, nil
}

// permit admits a call in flight. During a backlog it admits only as many calls as keep the destination busy, fewer of the
// late ones, and none that would have to wait.
func (d *destination) permit(caller context.Context) (adaptivelimiter.Permit, error) {
	most := d.least
	if isLate(caller) {
		most /= lateShare
	}
	if d.backlog.standing.Load() && d.limiter.Inflight() >= most {
		return nil, adaptivelimiter.ErrExceeded
	}
	return d.limiter.AcquirePermitWithMaxWait(caller, d.wait)
}
