package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"bookstore/services/platform/fault"
)

// upstreamCall is one call to a destination, all its attempts included.
type upstreamCall struct {
	*destination
	route  Route
	caller context.Context
	// enoughTime: the caller's deadline leaves at least half of the route's time. Without it, a time-out says nothing about
	// the destination.
	enoughTime bool

	pass     pass
	permit   adaptivelimiter.Permit
	reroutes int // so far, the sidecar's and the gateway's

	// The result: one of the two.
	answer *upstreamAnswer
	err    error
}

// lateShare divides the least limit: so many permits stay open to late requests, so that shedding never idles the
// destination.
const lateShare = 4

// begin begins a call, or refuses it: fault.CircuitOpen, fault.Overloaded, or fault.DeadlineExceeded when the caller's
// deadline passed in the queue. After a nil error end must be called.
func (d *destination) begin(caller context.Context, r Route) (*upstreamCall, error) {
	admitted, err := d.breaker.allow()
	if err != nil {
		return nil, err
	}
	permit, err := d.acquire(caller)
	if err != nil {
		_ = d.breaker.done(admitted, inconclusive, 0)
		if !errors.Is(err, adaptivelimiter.ErrExceeded) {
			return nil, callError(caller, err)
		}
		d.shed.Inc()
		return nil, &fault.Error{
			Kind: fault.Overloaded, RetryAfter: time.Second, Message: "a part of the shop has all that it can do; come back a little later",
		}
	}
	d.budget.called()
	deadline, limited := caller.Deadline()
	return &upstreamCall{
		destination: d, route: r, caller: caller, pass: admitted, permit: permit,
		enoughTime: !limited || time.Until(deadline) >= r.Timeout/2,
	}, nil
}

// acquire gets the permit of a call to be in flight. During a backlog it grants only as many as keep the destination
// busy, fewer to late requests, and none after a wait.
func (d *destination) acquire(caller context.Context) (adaptivelimiter.Permit, error) {
	most := d.least
	if isLate(caller) {
		most /= lateShare
	}
	if d.backlog.standing.Load() && d.limiter.Inflight() >= most {
		return nil, adaptivelimiter.ErrExceeded
	}
	return d.limiter.AcquirePermitWithMaxWait(caller, d.maxWait)
}

// countReroutes counts the sidecar's reroutes for an answer.
func (c *upstreamCall) countReroutes(a *upstreamAnswer) {
	n := a.reroutes()
	c.reroutes += n
	c.rerouted.Add(float64(n))
}

// mayRetryElsewhere tells whether another instance might succeed where this one answered unavailable. The coordinator's
// answer is about the services behind it, so another instance would answer the same.
func (c *upstreamCall) mayRetryElsewhere(a *upstreamAnswer) bool {
	return c.route.Upstream != Coordinator && a.failure() == fault.Unavailable
}

// mayResend takes one retry from the budget, if it has one left, and counts it.
func (c *upstreamCall) mayResend() bool {
	if !c.budget.resend() {
		c.resendRefused.Inc()
		return false
	}
	c.reroutes++
	c.resent.Inc()
	return true
}

// end ends the call. A read that was a circuit's trial and failed gets fault.CircuitOpen, like the calls after it, so
// that a stale copy may answer it. A write keeps its own outcome.
func (c *upstreamCall) end() {
	kind := c.failure()
	result := c.outcome(kind)
	if c.measuresLoad(kind, result) {
		c.permit.Record()
	} else {
		c.permit.Drop()
	}
	refusal := c.breaker.done(c.pass, result, c.reroutes)
	if refusal != nil && c.route.Method == http.MethodGet {
		c.answer, c.err = nil, refusal
	}
}

// failure is the kind of what the call failed with; "" is none.
func (c *upstreamCall) failure() fault.Kind {
	switch {
	case c.err != nil:
		return fault.KindOf(c.err)
	case c.answer == nil:
		return fault.Internal // a panic
	}
	return c.answer.failure()
}

// outcome says what the call's result tells about its destination:
//
//   - Overloaded comes from a service that works and sheds load. An open circuit would refuse everything.
//   - The coordinator's own answers are mostly about a service behind it. An open circuit would also stop calls that
//     need no such service, such as reads.
//   - A caller that went away proves nothing. Nor does the time-out of a caller without enough time: otherwise any
//     client could open a circuit.
//   - Internal: the request was never sent.
//   - A service that answers unavailable or outcome_unknown works, but lacks a dependency such as its database. When a
//     proxy answers so, no instance works.
//   - Everything else is a destination that fails: no answer, no instance, or a time-out.
func (c *upstreamCall) outcome(kind fault.Kind) outcome {
	switch {
	case kind == "", kind == fault.Overloaded, c.err == nil && c.answer != nil && c.route.Upstream == Coordinator:
		return succeeded
	case kind == fault.Internal, errors.Is(c.caller.Err(), context.Canceled), kind == fault.DeadlineExceeded && !c.enoughTime:
		return inconclusive
	case c.err == nil && (kind == fault.Unavailable || kind == fault.OutcomeUnknown):
		return degraded
	}
	return failed
}

// measuresLoad tells whether the call's duration measures the destination's load, for the adaptive limit. Answers and
// time-outs do. Refused connections are quick and reroutes slow for other reasons, and a stream's first event comes when
// there is one.
func (c *upstreamCall) measuresLoad(kind fault.Kind, result outcome) bool {
	if c.reroutes > 0 || c.route.Answer == Events {
		return false
	}
	return result == succeeded || (result == failed && kind == fault.DeadlineExceeded)
}
