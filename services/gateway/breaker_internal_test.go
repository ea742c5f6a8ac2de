package gateway

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"bookstore/services/platform/fault"
)

// ruled is a model of the circuit, written from its rule.
type ruled struct {
	threshold int
	openFor   time.Duration

	unanswered []time.Duration // how long it was open each time, since an instance answered

	state      circuitState
	generation int
	count      int       // of reroutes, while closed
	degraded   bool      // one of the failures was degraded
	until      time.Time // while open
	trial      bool      // while half-open: it is in flight

	calls       int
	inFlight    map[int]bool
	lastSuccess int          // the last call that had begun when one succeeded
	tripped     time.Time    // when the count reached the threshold
	pending     map[int]bool // what was in flight then
}

func (m *ruled) become(state circuitState) {
	*m = ruled{
		threshold: m.threshold, openFor: m.openFor, unanswered: m.unanswered,
		state: state, generation: m.generation + 1, inFlight: map[int]bool{},
	}
}

func (m *ruled) open(instanceAnswered bool) {
	m.become(circuitOpen)
	if instanceAnswered {
		m.unanswered, m.until = nil, time.Now().Add(250*time.Millisecond)
		return
	}
	next := 500 * time.Millisecond
	if n := len(m.unanswered); n > 0 {
		next = min(2*m.unanswered[n-1], m.openFor)
	}
	m.unanswered, m.until = append(m.unanswered, next), time.Now().Add(next)
}

func (m *ruled) current() circuitState {
	if m.state == circuitOpen && !time.Now().Before(m.until) {
		return circuitHalfOpen
	}
	return m.state
}

func (m *ruled) allow() bool {
	m.calls++
	if m.state == circuitOpen && m.current() == circuitHalfOpen {
		m.become(circuitHalfOpen)
	}
	if m.state == circuitHalfOpen && !m.trial {
		m.trial = true
		return true
	}
	if m.state == circuitClosed {
		m.inFlight[m.calls] = true
	}
	return m.state == circuitClosed
}

func (m *ruled) done(generation, call int, o outcome, reroutes int) {
	if generation == m.generation {
		delete(m.inFlight, call)
		delete(m.pending, call)
	}
	switch {
	case generation != m.generation:
	case m.state == circuitHalfOpen && o == succeeded:
		m.unanswered = nil
		m.become(circuitClosed)
	case m.state == circuitHalfOpen && o != inconclusive:
		m.open(o == degraded)
	case m.state == circuitHalfOpen:
		m.trial = false
	case o == succeeded:
		m.count, m.degraded, m.lastSuccess, m.tripped, m.pending = 0, false, m.calls, time.Time{}, nil
	default:
		if o != inconclusive && call > m.lastSuccess {
			m.count += reroutes
			m.degraded = m.degraded || o == degraded
		}
		if m.count >= m.threshold && m.tripped.IsZero() {
			m.tripped, m.pending = time.Now(), maps.Clone(m.inFlight)
		}
		if !m.tripped.IsZero() && (len(m.pending) == 0 || time.Since(m.tripped) >= tripTimeout) {
			m.open(m.degraded)
		}
	}
}

// step is what happens next: a call begins, one in flight ends, or time passes.
type step struct {
	what     string
	which    int
	outcome  outcome
	reroutes int
	wait     time.Duration
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		what:     rapid.SampledFrom([]string{"begin", "begin", "end", "end", "wait"}).Draw(t, "what"),
		which:    rapid.IntRange(0, 99).Draw(t, "which"),
		outcome:  rapid.SampledFrom([]outcome{inconclusive, succeeded, degraded, failed, failed, failed}).Draw(t, "outcome"),
		reroutes: rapid.IntRange(0, 3).Draw(t, "reroutes"),
		wait:     time.Duration(rapid.SampledFrom([]int{10, 200, 500, 1100, 2100, 12_000}).Draw(t, "wait")) * time.Millisecond,
	}
})

func TestACircuitFollowsItsRule(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		threshold := rapid.UintRange(1, 5).Draw(rt, "threshold")
		script := rapid.SliceOfN(steps, 50, 200).Draw(rt, "steps") // long enough for a circuit to open a few times
		problem := ""
		synctest.Test(t, func(*testing.T) { problem = differs(threshold, script) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// differs runs the steps on a circuit and on the model, and returns their first difference.
func differs(threshold uint, script []step) string {
	const openFor = 10 * time.Second
	b := newBreaker(threshold, 500*time.Millisecond, openFor, func(circuitState) {})
	m := &ruled{threshold: int(threshold), openFor: openFor, inFlight: map[int]bool{}}
	type call struct {
		b                  pass
		generation, number int
	}
	var calls []call
	for i, s := range script {
		switch {
		case s.what == "begin":
			in, err := b.allow()
			if ok := m.allow(); ok != (err == nil) {
				return fmt.Sprintf("step %d: let through: %t, %v", i, ok, err)
			}
			if err == nil {
				calls = append(calls, call{in, m.generation, m.calls})
				break
			}
			want := time.Second
			if m.state == circuitOpen {
				want = max(want, time.Until(m.until))
			}
			if f := fault.As(err); f.Kind != fault.CircuitOpen || f.RetryAfter != want {
				return fmt.Sprintf("step %d: refused with %v, to come back in %v and not in %v", i, err, f.RetryAfter, want)
			}
		case s.what == "end" && len(calls) > 0:
			at := s.which % len(calls)
			_ = b.done(calls[at].b, s.outcome, s.reroutes)
			m.done(calls[at].generation, calls[at].number, s.outcome, s.reroutes)
			calls = append(calls[:at], calls[at+1:]...)
		case s.what == "wait":
			<-time.After(s.wait)
		}
		if got, want := b.state(), m.current(); got != want {
			return fmt.Sprintf("step %d, %+v: the circuit is %s and not %s", i, s, got, want)
		}
	}
	return ""
}
