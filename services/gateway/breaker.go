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
//	closed ── threshold reached, and the calls in flight at that moment ended without a success ──► open
//	open ── its time is over (breaker.delay) ──► half-open: one call is admitted, the trial
//	half-open ── the trial succeeds ──► closed
//	half-open ── the trial fails, rerouted or not ──► open
//	half-open ── the trial is inconclusive ──► half-open: the next call is the trial
//
// The threshold is a number of reroutes, of calls that failed and began after the last success.
const (
	circuitClosed circuitState = iota
	circuitHalfOpen
	circuitOpen
)

func (s circuitState) String() string {
	return [...]string{"closed", "half_open", "open"}[s]
}

// outcome is what a call's result says about its destination.
type outcome int

const (
	inconclusive outcome = iota // nothing: the caller gave up, or the call was never sent
	succeeded                   // the destination works
	degraded                    // an instance works, but lacks a dependency: its database
	failed                      // no instance answered in time
)

// trialRetryAfter is the Retry-After of calls that are refused while a trial is in flight.
const trialRetryAfter = time.Second

// degradedOpenFor is how long a circuit stays open when an instance answered that it lacks its database. A trial then
// costs next to nothing, and the database has a new leader within seconds, after which writes must not be held back.
const degradedOpenFor = 250 * time.Millisecond

// tripTimeout bounds how long a circuit that reached its threshold waits for the calls in flight: longer than the mesh's
// time-out of reads.
const tripTimeout = 2 * time.Second

// breaker is one destination's circuit. The library's breaker has the states and the clock. This one adds that a call
// counts by its reroutes, and only in the generation that it began in: an answer as old as the failures that opened the
// circuit neither closes it nor takes a trial's place.
//
// At the threshold the circuit does not open at once. It waits for the calls in flight at that moment, and one success
// among them keeps it closed: an instance that fails does so faster than the others succeed, so of many concurrent calls
// the failures end first. They may also end last, when all their repeats reached the failing instance: so a failure does
// not count if another call succeeded after it began.
type breaker struct {
	onChange  func(circuitState) // called while locked
	threshold int
	// openFirst is how long the circuit stays open when no instance answered. It doubles with each trial that fails so, up to
	// openFor. The mesh learns within three seconds that a machine is gone: until then all calls may go to the instance on it,
	// and afterwards those to instances elsewhere must not be held back.
	openFirst, openFor time.Duration

	mu         sync.Mutex
	circuit    circuitbreaker.CircuitBreaker[any]
	last       circuitbreaker.State
	generation uint64 // how often the state has changed
	unanswered int    // openings in a row because no instance answered

	// Of this generation.
	calls     uint64 // begun
	successes uint64
	inFlight  int
	count     int  // reroutes of calls that failed and began after the last success
	degraded  bool // one of these failures was degraded
	trip      trip // zero: the threshold has not been reached
}

// trip is the time between reaching the threshold and opening, or not opening, the circuit.
type trip struct {
	since    time.Time
	lastCall uint64 // number of the last call that had begun by then
	inFlight int    // of the calls up to that one, how many have not ended
}

// pass identifies a call that was admitted.
type pass struct{ generation, number, successes uint64 }

func newBreaker(threshold uint, openFirst, openFor time.Duration, onChange func(circuitState)) *breaker {
	return &breaker{
		onChange: onChange, threshold: int(threshold), openFirst: openFirst, openFor: openFor, circuit: newCircuit(openFor),
	}
}

func newCircuit(openFor time.Duration) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithSuccessThreshold(1). // of the one trial
		WithDelay(openFor).
		Build()
}

// allow admits a call, or refuses it with fault.CircuitOpen. After a nil error done must be called once, with the pass.
func (b *breaker) allow() (pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.circuit.TryAcquirePermit() {
		return pass{}, b.refusal()
	}
	b.syncState()
	b.calls++
	b.inFlight++
	return pass{b.generation, b.calls, b.successes}, nil
}

func (b *breaker) refusal() error {
	return &fault.Error{
		Kind: fault.CircuitOpen, Message: "a part of the shop does not work at the moment",
		RetryAfter: max(b.circuit.RemainingDelay(), trialRetryAfter),
	}
}

// done records a call's outcome and the number of its reroutes. It returns fault.CircuitOpen to a trial that failed.
func (b *breaker) done(p pass, o outcome, reroutes int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.generation != b.generation {
		return nil
	}
	trial := b.circuit.IsHalfOpen()
	if trial {
		b.endTrial(o)
	} else {
		b.record(p, o, reroutes)
	}
	b.syncState()
	if trial && b.circuit.IsOpen() {
		return b.refusal()
	}
	return nil
}

// endTrial applies a trial's outcome; the caller holds mu.
func (b *breaker) endTrial(o outcome) {
	switch o {
	case succeeded:
		b.unanswered = 0
		b.circuit.RecordSuccess()
	case degraded, failed:
		b.open(o == degraded)
	case inconclusive:
		// The library takes no permit back without a result. Half-open once more, it has another one.
		b.circuit.Close()
		b.circuit.HalfOpen()
	}
}

// record counts a call that was no trial; the caller holds mu.
func (b *breaker) record(p pass, o outcome, reroutes int) {
	b.inFlight--
	tripping := !b.trip.since.IsZero()
	if tripping && p.number <= b.trip.lastCall {
		b.trip.inFlight--
	}
	switch {
	case o == succeeded:
		b.successes++
		b.count, b.degraded, b.trip = 0, false, trip{}
		return
	case o != inconclusive && p.successes == b.successes:
		b.count, b.degraded = b.count+reroutes, b.degraded || o == degraded
	}
	if !tripping && b.count >= b.threshold {
		tripping, b.trip = true, trip{since: time.Now(), lastCall: b.calls, inFlight: b.inFlight}
	}
	if tripping && (b.trip.inFlight == 0 || time.Since(b.trip.since) >= tripTimeout) {
		b.open(b.degraded)
	}
}

// open opens the circuit; the caller holds mu.
func (b *breaker) open(instanceAnswered bool) {
	b.circuit = newCircuit(b.delay(instanceAnswered)) // the library has one delay for all openings
	b.circuit.Open()
}

// delay is how long this opening lasts; the caller holds mu.
func (b *breaker) delay(instanceAnswered bool) time.Duration {
	if instanceAnswered {
		b.unanswered = 0
		return min(b.openFor, degradedOpenFor)
	}
	delay := b.openFirst
	for n := 0; n < b.unanswered && delay < b.openFor; n++ {
		delay *= 2
	}
	b.unanswered++
	return min(b.openFor, delay)
}

// syncState begins a new generation if the state has changed; the caller holds mu.
func (b *breaker) syncState() {
	if now := b.circuit.State(); now != b.last {
		b.last = now
		b.generation++
		b.calls, b.successes, b.inFlight, b.count, b.degraded, b.trip = 0, 0, 0, 0, false, trip{}
		b.onChange(b.current())
	}
}

// state is the state that the next call finds. An open circuit whose time is over is half-open, although the library
// changes it only when that call comes.
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
