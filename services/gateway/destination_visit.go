package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"bookstore/services/platform/fault"
)

// visit is one call at its destination, from the first time it is sent to the
// end of the last.
type visit struct {
	*destination
	route  Route
	caller context.Context
	// patient callers give the call at least half of the route's time. A
	// time-out of the others may be their own doing.
	patient bool

	pass     pass
	permit   adaptivelimiter.Permit
	reroutes int // so far, whoever made them

	answer *upstreamAnswer // at the end, one of the two
	err    error
}

// arrived counts what the sidecar did for an answer.
func (v *visit) arrived(a *upstreamAnswer) {
	n := a.reroutes()
	v.reroutes += n
	v.rerouted.Add(float64(n))
}

// elsewhere tells whether another instance might do what this one says it cannot
// at the moment. What the coordinator says is about services behind it.
func (v *visit) elsewhere(a *upstreamAnswer) bool {
	return v.route.Upstream != Coordinator && a.failure() == fault.Unavailable
}

// mayResend asks whether the call may be sent again, and counts that it is.
func (v *visit) mayResend() bool {
	if !v.budget.resend() {
		v.unsent.Inc()
		return false
	}
	v.reroutes++
	v.resent.Inc()
	return true
}

// leave ends the visit. A read that was the trial of a circuit and failed is
// refused like those that come after it: there may be an old copy for it too.
// What a write came to is not to be hidden.
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

// end says what a call that failed with kind tells of its destination:
//
//   - Overloaded is said by a service that is there and refuses what is too
//     much. A circuit would make that all.
//   - What the coordinator itself says is mostly about a service behind it. A
//     circuit would take from it what needs none of them, such as reading.
//   - A caller that went away proves nothing. Nor does a time-out where it gave
//     less time than the route does: else anyone could open a circuit.
//   - Internal is a request that was never sent.
//   - A service that says unavailable, or outcome_unknown, is there and lacks what
//     it needs. Where a proxy says so, nobody is.
//   - All else is a destination that does not do its work: nobody answered, or
//     a proxy found nobody, or it takes too long.
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

// tellsOfLoad tells whether the time that the call took says how much the
// destination has to do. That of an answer does, and so does a time-out. A
// refused connection is quick and a reroute slow for reasons of their own, and
// a stream begins when there is something to tell.
func (v *visit) tellsOfLoad(kind fault.Kind, end ending) bool {
	if v.reroutes > 0 || v.route.Answer == Events {
		return false
	}
	return end == answered || (end == failed && kind == fault.DeadlineExceeded)
}
