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

// ruled is a circuit as the protocol words it.
type ruled struct {
	threshold int
	openFor   time.Duration

	state circuitState
	era   int
	count int       // of reroutes, while closed
	there bool      // of those who failed one has said that it lacks something
	until time.Time // while open
	trial bool      // while half-open: it is on its way

	calls     int
	underWay  map[int]bool
	answered  int          // the last call that had been begun when one was answered
	doubted   time.Time    // when the count reached the threshold
	witnesses map[int]bool // what was under way then
}

func (m *ruled) become(state circuitState) {
	*m = ruled{threshold: m.threshold, openFor: m.openFor, state: state, era: m.era + 1, underWay: map[int]bool{}}
}

func (m *ruled) open(there bool) {
	m.become(circuitOpen)
	m.until = time.Now().Add(m.openFor)
	if there {
		m.until = time.Now().Add(250 * time.Millisecond)
	}
}

func (m *ruled) look() circuitState {
	if m.state == circuitOpen && !time.Now().Before(m.until) {
		return circuitHalfOpen
	}
	return m.state
}

func (m *ruled) enter() bool {
	m.calls++
	if m.state == circuitOpen && m.look() == circuitHalfOpen {
		m.become(circuitHalfOpen)
	}
	if m.state == circuitHalfOpen && !m.trial {
		m.trial = true
		return true
	}
	if m.state == circuitClosed {
		m.underWay[m.calls] = true
	}
	return m.state == circuitClosed
}

func (m *ruled) leave(era, call int, end ending, reroutes int) {
	if era == m.era {
		delete(m.underWay, call)
		delete(m.witnesses, call)
	}
	switch {
	case era != m.era:
	case m.state == circuitHalfOpen && end == answered:
		m.become(circuitClosed)
	case m.state == circuitHalfOpen && end != undecided:
		m.open(end == lacking)
	case m.state == circuitHalfOpen:
		m.trial = false
	case end == answered:
		m.count, m.there, m.answered, m.doubted, m.witnesses = 0, false, m.calls, time.Time{}, nil
	default:
		if end != undecided && call > m.answered {
			m.count += reroutes
			m.there = m.there || end == lacking
		}
		if m.count >= m.threshold && m.doubted.IsZero() {
			m.doubted, m.witnesses = time.Now(), maps.Clone(m.underWay)
		}
		if !m.doubted.IsZero() && (len(m.witnesses) == 0 || time.Since(m.doubted) >= witnessTime) {
			m.open(m.there)
		}
	}
}

// step is what happens next: a call begins, one of those that are on their way
// ends, or time goes by.
type step struct {
	what     string
	which    int
	end      ending
	reroutes int
	wait     time.Duration
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		what:     rapid.SampledFrom([]string{"enter", "enter", "leave", "leave", "wait"}).Draw(t, "what"),
		which:    rapid.IntRange(0, 99).Draw(t, "which"),
		end:      rapid.SampledFrom([]ending{undecided, answered, lacking, failed, failed, failed}).Draw(t, "end"),
		reroutes: rapid.IntRange(0, 3).Draw(t, "reroutes"),
		wait:     time.Duration(rapid.SampledFrom([]int{10, 200, 500, 2100, 12_000}).Draw(t, "wait")) * time.Millisecond,
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

// differs plays steps on a circuit and on the rule, and says where they part.
func differs(threshold uint, script []step) string {
	const openFor = 10 * time.Second
	b := newBreaker(threshold, openFor, func(circuitState) {})
	m := &ruled{threshold: int(threshold), openFor: openFor, underWay: map[int]bool{}}
	type call struct {
		b           pass
		era, number int
	}
	var calls []call
	for i, s := range script {
		switch {
		case s.what == "enter":
			in, err := b.enter()
			if ok := m.enter(); ok != (err == nil) {
				return fmt.Sprintf("step %d: let through: %t, %v", i, ok, err)
			}
			if err == nil {
				calls = append(calls, call{in, m.era, m.calls})
				break
			}
			want := time.Second
			if m.state == circuitOpen {
				want = max(want, time.Until(m.until))
			}
			if f := fault.As(err); f.Kind != fault.CircuitOpen || f.RetryAfter != want {
				return fmt.Sprintf("step %d: refused with %v, to come back in %v and not in %v", i, err, f.RetryAfter, want)
			}
		case s.what == "leave" && len(calls) > 0:
			at := s.which % len(calls)
			_ = b.leave(calls[at].b, s.end, s.reroutes)
			m.leave(calls[at].era, calls[at].number, s.end, s.reroutes)
			calls = append(calls[:at], calls[at+1:]...)
		case s.what == "wait":
			<-time.After(s.wait)
		}
		if got, want := b.state(), m.look(); got != want {
			return fmt.Sprintf("step %d, %+v: the circuit is %s and not %s", i, s, got, want)
		}
	}
	return ""
}
