package gateway

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"bookstore/services/kit/fault"
)

// circuitState is what a destination's circuit lets through. Its number is
// what the metric shows.
type circuitState int

// The states of a circuit.
//
//	closed ── reroutes of calls that ended failed, as many as the threshold and no success between ──► open
//	open ── its time is over ──► half-open: of all who call, one is let through, the trial
//	half-open ── the trial is answered ──► closed
//	half-open ── the trial fails, rerouted or not ──► open
//	half-open ── nothing is learnt from the trial ──► half-open: the next call is the trial
const (
	circuitClosed circuitState = iota
	circuitHalfOpen
	circuitOpen
)

func (s circuitState) String() string {
	return [...]string{"closed", "half_open", "open"}[s]
}

// ending is what a call's end says about its destination.
type ending int

const (
	undecided ending = iota // nothing: its caller gave up, or it was never sent
	answered                // the destination is there
	failed                  // nobody was, or nobody who could do the work
)

// trialRetryAfter is what those are told who come while a trial is on its way.
const trialRetryAfter = time.Second

// breaker is one destination's circuit. The library's breaker is its states
// and its clock; what is added is that a call counts by its reroutes, and only
// in the state that it was begun in: an answer that is as old as the failures
// that opened the circuit neither closes it nor takes a trial's place.
type breaker struct {
	onChange func(circuitState) // called while locked

	mu      sync.Mutex
	circuit circuitbreaker.CircuitBreaker[any]
	last    circuitbreaker.State
	era     uint64 // how often the state has changed
}

func newBreaker(threshold uint, openFor time.Duration, onChange func(circuitState)) *breaker {
	return &breaker{
		onChange: onChange,
		circuit: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(threshold). // in a row: a success sets the count back to 0
			WithSuccessThreshold(1).         // of the one trial
			WithDelay(openFor).
			Build(),
	}
}

// enter lets a call through, or refuses it with fault.CircuitOpen. Whoever is
// let through calls leave, once, with the era it is given.
func (b *breaker) enter() (era uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.circuit.TryAcquirePermit() {
		return 0, b.refusal()
	}
	b.notice()
	return b.era, nil
}

func (b *breaker) refusal() error {
	return &fault.Error{
		Kind: fault.CircuitOpen, Message: "a part of the shop does not work at the moment",
		RetryAfter: max(b.circuit.RemainingDelay(), trialRetryAfter),
	}
}

// leave says how a call ended, after how many reroutes. The trial of a circuit
// that stays open is told what those are told who come after it.
func (b *breaker) leave(era uint64, end ending, reroutes int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if era != b.era {
		return nil
	}
	trial := b.circuit.IsHalfOpen()
	b.record(end, reroutes)
	if trial && b.circuit.IsOpen() {
		return b.refusal()
	}
	return nil
}

// record counts a call's end; the caller holds mu.
func (b *breaker) record(end ending, reroutes int) {
	trial := b.circuit.IsHalfOpen()
	switch {
	case end == answered:
		b.circuit.RecordSuccess()
	case end == failed && trial:
		b.circuit.RecordFailure()
	case end == failed:
		for n := 0; n < reroutes && b.circuit.IsClosed(); n++ {
			b.circuit.RecordFailure()
		}
	case trial:
		// The library takes no permit back without a result; half-open anew it
		// has another.
		b.circuit.Close()
		b.circuit.HalfOpen()
	}
	b.notice()
}

// notice begins a new era if the state has changed.
func (b *breaker) notice() {
	if now := b.circuit.State(); now != b.last {
		b.last = now
		b.era++
		b.onChange(b.look())
	}
}

// state is what the circuit does with the next call. An open one whose time is
// over is half-open, although the library moves it only when that call comes.
func (b *breaker) state() circuitState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.look()
}

func (b *breaker) look() circuitState {
	switch {
	case b.circuit.IsClosed():
		return circuitClosed
	case b.circuit.RemainingDelay() > 0:
		return circuitOpen
	}
	return circuitHalfOpen
}
