package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/kit/fault"
)

// transactionsMore is how many times more calls the coordinator carries at once
// than others do, and how much longer they may wait: a transaction takes longer
// than a read, and waits for other services most of that time.
const transactionsMore = 4

// destination is an upstream with what guards it, and all else from it: where
// one does not answer, calls to the others find all that they need.
type destination struct {
	breaker *breaker
	budget  *budget
	queue   *queue

	rerouted, resent, unsent, shed prometheus.Counter
}

func newDestinations(settings Resilience, m metrics, log *slog.Logger) map[Upstream]*destination {
	destinations := map[Upstream]*destination{}
	for _, r := range Routes() {
		if destinations[r.Upstream] == nil {
			destinations[r.Upstream] = newDestination(r.Upstream, settings.withDefaults(), m, log)
		}
	}
	return destinations
}

func newDestination(upstream Upstream, settings Resilience, m metrics, log *slog.Logger) *destination {
	name, more := string(upstream), uint(1)
	if upstream == Coordinator {
		more = transactionsMore
	}
	opened := m.opened.WithLabelValues(name)
	d := &destination{
		breaker: newBreaker(settings.CircuitThreshold, settings.CircuitOpenFor, func(state circuitState) {
			if state == circuitOpen {
				opened.Inc()
			}
			log.Warn("circuit", "destination", name, "state", state.String())
		}),
		budget:   newBudget(settings.ResendShare, settings.ResendLeast),
		queue:    newQueue(settings, more),
		rerouted: m.reroutes.WithLabelValues(name, bySidecar),
		resent:   m.reroutes.WithLabelValues(name, byGateway),
		unsent:   m.unsent.WithLabelValues(name),
		shed:     m.shed.WithLabelValues(name),
	}
	m.watch(name, d)
	return d
}

// enter begins a call, or refuses it: fault.CircuitOpen, fault.Overloaded, or
// fault.DeadlineExceeded where the caller did not wait for its turn. Whoever is
// let in leaves.
func (d *destination) enter(caller context.Context, r Route) (*visit, error) {
	in, err := d.breaker.enter()
	if err != nil {
		return nil, err
	}
	at, err := d.queue.enter(caller)
	if err != nil {
		_ = d.breaker.leave(in, undecided, 0)
		if !errors.Is(err, errFull) {
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
		destination: d, route: r, caller: caller, pass: in, place: at,
		patient: !limited || time.Until(deadline) >= r.Timeout/2,
	}, nil
}
