package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"bookstore/services/platform/fault"
)

// visit is one call to a destination, all its tries included.
type visit struct {
	*destination
	route  Route
	caller context.Context
	// patient tells that the caller's deadline leaves at least half of the route's time. A time-out of an impatient caller
	// says nothing about the destination.
	patient bool

	pass     pass
	permit   adaptivelimiter.Permit
	reroutes int // so far, the sidecar's and the gateway's

	answer *upstreamAnswer // at the end, one of the two
	err    error
}

// arrived counts the sidecar's reroutes for an answer.
func (v *visit) arrived(a *upstreamAnswer) {
	n := a.reroutes()
	v.reroutes += n
	v.rerouted.Add(float64(n))
}

// elsewhere tells whether another instance might succeed where this one answered unavailable. The coordinator's answer is
// about the services behind it, so another instance would answer the same.
func (v *visit) elsewhere(a *upstreamAnswer) bool {
	return v.route.Upstream != Coordinator && a.failure() == fault.Unavailable
}

// mayResend takes one retry from the budget, if it has one left, and counts it.
func (v *visit) mayResend() bool {
	if !v.budget.resend() {
		v.unsent.Inc()
		return false
	}
	v.reroutes++
	v.resent.Inc()
	return true
}

// leave ends the visit. A read that was a circuit's trial and failed gets fault.CircuitOpen, like the calls after it, so
// that a stale copy may answer it. A write keeps its own outcome.
func (v *visit) leave() {
	kind := v.failure()
	end := v.end(kind)
	if v.tellsOfLoad(kind, end) {
		v.permit.Record()
	} else {
		v.permit.Drop()
	}
	refusal := v.breaker.leave(v.pass, end, v.reroutes)
	if refusal != nil && v.route.Method == http.MethodGet {
		v.answer, v.err = nil, refusal
	}
}

// failure is the kind of what the call failed with; "" is none.
func (v *visit) failure() fault.Kind {
	switch {
	case v.err != nil:
		return fault.KindOf(v.err)
	case v.answer == nil:
		return fault.Internal // a panic
	}
	return v.answer.failure()
}

// end says what a call's result tells about its destination:
//
//   - Overloaded comes from a service that works and sheds load. An open circuit would refuse everything.
//   - The coordinator's own answers are mostly about a service behind it. An open circuit would also stop calls that
//     need no such service, such as reads.
//   - A caller that went away proves nothing. Nor does the time-out of an impatient caller: otherwise any client could
//     open a circuit.
//   - Internal: the request was never sent.
//   - A service that answers unavailable or outcome_unknown works, but lacks a dependency such as its database. When a
//     proxy answers so, no instance works.
//   - Everything else is a destination that fails: no answer, no instance, or a time-out.
func (v *visit) end(kind fault.Kind) ending {
	switch {
	case kind == "", kind == fault.Overloaded, v.err == nil && v.answer != nil && v.route.Upstream == Coordinator:
		return answered
	case kind == fault.Internal, errors.Is(v.caller.Err(), context.Canceled), kind == fault.DeadlineExceeded && !v.patient:
		return undecided
	case v.err == nil && (kind == fault.Unavailable || kind == fault.OutcomeUnknown):
		return lacking
	}
	return failed
}

// tellsOfLoad tells whether the call's duration measures the destination's load, for the adaptive limit. Answers and
// time-outs do. Refused connections are quick and reroutes slow for other reasons, and a stream's first event comes when
// there is one.
func (v *visit) tellsOfLoad(kind fault.Kind, end ending) bool {
	if v.reroutes > 0 || v.route.Answer == Events {
		return false
	}
	return end == answered || (end == failed && kind == fault.DeadlineExceeded)
}
