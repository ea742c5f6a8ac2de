package gateway

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"bookstore/services/platform/fault"
)

// circuitState is the state of a destination's circuit. Its number is the value of circuit_state.
type circuitState int

// The states of a circuit.
//
//	closed ── reroutes of calls that ended failed, as many as the threshold and no success since
//	          they began, nor of the calls that are under way then ──► open
//	open ── its time is over: openFor, or lackingFor where an instance is there and lacks
//	        something ──► half-open: of all who call, one is let through, the trial
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

// ending is what a call's result says about its destination.
type ending int

const (
	undecided ending = iota // nothing: the caller gave up, or the call was never sent
	answered                // the destination works
	lacking                 // an instance works, but lacks a dependency: its database
	failed                  // no instance answered in time
)

// trialRetryAfter is the Retry-After of calls that are refused while a trial is in flight.
const trialRetryAfter = time.Second

// lackingFor is how long a circuit stays open when an instance answered that it lacks its database. A trial then costs
// next to nothing, and the database has a new leader within seconds, after which writes must not be held back.
const lackingFor = 250 * time.Millisecond

// witnessTime bounds how long a circuit in doubt waits for the calls in flight: longer than the mesh's time-out of reads.
const witnessTime = 2 * time.Second

// breaker is one destination's circuit. The library's breaker is its states
// and its clock; what is added is that a call counts by its reroutes, and only
// in the state that it was begun in: an answer that is as old as the failures
// that opened the circuit neither closes it nor takes a trial's place.
//
// At the threshold the circuit is in doubt, and opens when the calls that are
// under way then have ended without a success. An instance that fails does so
// faster than the others succeed: of many calls at once, its are the first to end.
// They are the last to end as well, where all their repeats met it: what failed
// says nothing against another call's success that came after it was begun.
type breaker struct {
	onChange  func(circuitState) // called while locked
	threshold int
	openFor   time.Duration // where nobody is there

	mu      sync.Mutex
	circuit circuitbreaker.CircuitBreaker[any]
	last    circuitbreaker.State
	era     uint64 // how often the state has changed

	// Of this era.
	calls    uint64 // begun
	answers  uint64 // of them
	underWay int
	count    int   // of reroutes of calls that were begun since the last success, and failed
	there    bool  // since then an instance has answered that it lacks a dependency
	doubt    doubt // zero: there is none
}

// doubt is the time between reaching the threshold and opening, or not opening, the circuit.
type doubt struct {
	since     time.Time
	last      uint64 // the last call that was begun by then
	witnesses int    // of those calls, how many are still in flight
}

// pass identifies a call that was let through.
type pass struct{ era, number, answers uint64 }

func newBreaker(threshold uint, openFor time.Duration, onChange func(circuitState)) *breaker {
	return &breaker{onChange: onChange, threshold: int(threshold), openFor: openFor, circuit: newCircuit(openFor)}
}

func newCircuit(openFor time.Duration) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithSuccessThreshold(1). // of the one trial
		WithDelay(openFor).
		Build()
}

// open opens the circuit: for lackingFor if an instance works, else for openFor. The caller holds mu.
func (b *breaker) open(there bool) {
	delay := b.openFor
	if there {
		delay = min(delay, lackingFor)
	}
	b.circuit = newCircuit(delay) // the library's delay is one for all openings
	b.circuit.Open()
}

// enter lets a call through, or refuses it with fault.CircuitOpen. Whoever is
// let through calls leave, once, with the pass it is given.
func (b *breaker) enter() (pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.circuit.TryAcquirePermit() {
		return pass{}, b.refusal()
	}
	b.notice()
	b.calls++
	b.underWay++
	return pass{b.era, b.calls, b.answers}, nil
}

func (b *breaker) refusal() error {
	return &fault.Error{
		Kind: fault.CircuitOpen, Message: "a part of the shop does not work at the moment",
		RetryAfter: max(b.circuit.RemainingDelay(), trialRetryAfter),
	}
}

// leave records how a call ended, after how many reroutes. It returns fault.CircuitOpen to a trial that failed.
func (b *breaker) leave(p pass, end ending, reroutes int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.era != b.era {
		return nil
	}
	trial := b.circuit.IsHalfOpen()
	if trial {
		b.judge(end)
	} else {
		b.record(p, end, reroutes)
	}
	b.notice()
	if trial && b.circuit.IsOpen() {
		return b.refusal()
	}
	return nil
}

// judge ends a trial; the caller holds mu.
func (b *breaker) judge(end ending) {
	switch end {
	case answered:
		b.circuit.RecordSuccess()
	case lacking, failed:
		b.open(end == lacking)
	case undecided:
		// The library takes no permit back without a result; half-open anew it
		// has another.
		b.circuit.Close()
		b.circuit.HalfOpen()
	}
}

// record counts the end of a call that was no trial; the caller holds mu.
func (b *breaker) record(p pass, end ending, reroutes int) {
	b.underWay--
	inDoubt := !b.doubt.since.IsZero()
	if inDoubt && p.number <= b.doubt.last {
		b.doubt.witnesses--
	}
	switch {
	case end == answered:
		b.answers++
		b.count, b.there, b.doubt = 0, false, doubt{}
		return
	case end != undecided && p.answers == b.answers:
		b.count, b.there = b.count+reroutes, b.there || end == lacking
	}
	if !inDoubt && b.count >= b.threshold {
		inDoubt, b.doubt = true, doubt{since: time.Now(), last: b.calls, witnesses: b.underWay}
	}
	if inDoubt && (b.doubt.witnesses == 0 || time.Since(b.doubt.since) >= witnessTime) {
		b.open(b.there)
	}
}

// notice begins a new era if the state has changed; the caller holds mu.
func (b *breaker) notice() {
	if now := b.circuit.State(); now != b.last {
		b.last = now
		b.era++
		b.calls, b.answers, b.underWay, b.count, b.there, b.doubt = 0, 0, 0, 0, false, doubt{}
		b.onChange(b.current())
	}
}

// state is what the circuit does with the next call. An open one whose time is
// over is half-open, although the library moves it only when that call comes.
func (b *breaker) state() circuitState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current()
}

func (b *breaker) current() circuitState {
	switch {
	case b.circuit.IsClosed():
		return circuitClosed
	case b.circuit.RemainingDelay() > 0:
		return circuitOpen
	}
	return circuitHalfOpen
}
