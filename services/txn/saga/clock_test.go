package saga

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
)

// clockStore has one saga, given out when its time has come by a clock of its own.
type clockStore struct {
	Store

	mu     sync.Mutex
	ahead  time.Duration // of the clock of the coordinator's machine
	mute   bool          // the clock cannot be read
	saga   Saga
	wake   time.Time // by this clock; zero: nothing is stored
	claims int
}

func (s *clockStore) now() time.Time { return time.Now().Add(s.ahead) }

func (s *clockStore) Now(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		return time.Time{}, errors.New("no database")
	}
	return s.now(), nil
}

func (s *clockStore) Create(_ context.Context, n New) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saga, s.wake = n.Saga, s.now().Add(time.Duration(n.Wake))
	return true, nil
}

func (s *clockStore) Claim(_ context.Context, _ int, lease time.Duration) ([]Saga, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake.IsZero() || s.saga.State.Final() || s.now().Before(s.wake) {
		return nil, nil
	}
	s.saga.Version++
	s.claims++
	s.wake = s.now().Add(lease)
	return []Saga{s.saga}, nil
}

func (s *clockStore) Postpone(_ context.Context, sagas []Saga, wake time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sagas[0].Version == s.saga.Version {
		s.wake = s.now().Add(wake)
	}
	return nil
}

func (s *clockStore) Advance(_ context.Context, changes []Change) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	applied := make([]bool, len(changes))
	for i, c := range changes {
		if applied[i] = c.Version == s.saga.Version; applied[i] {
			s.saga, s.wake = c.Saga, s.now().Add(time.Duration(c.Wake))
			s.saga.Version++
		}
	}
	return applied, nil
}

func (s *clockStore) Hold(context.Context) (time.Time, error) { return time.Time{}, nil }

func (s *clockStore) Unfinished(context.Context) (map[string]map[State]int, error) {
	return map[string]map[State]int{}, nil
}

// set changes the clock.
func (s *clockStore) set(ahead time.Duration, mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead, s.mute = ahead, mute
}

// put stores a saga as another coordinator has begun it.
func (s *clockStore) put(t *testing.T, approval bool, within time.Duration) {
	t.Helper()
	one, err := trip.begin(Request{Data: tripData{Approval: approval}, Time: within}, "1", s.now().UTC())
	if err != nil {
		t.Fatal(err)
	}
	one.Version = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saga, s.wake = one, s.now()
}

func (s *clockStore) read() Saga {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saga
}

// reluctant does not answer its first calls.
type reluctant struct {
	mu    sync.Mutex
	fails int
	calls []time.Time
}

func (r *reluctant) Do(context.Context, Call, any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, time.Now())
	if len(r.calls) <= r.fails {
		return fault.New(fault.Unavailable, "no answer")
	}
	return nil
}

func (r *reluctant) Undo(context.Context, Call) error { return nil }

func (r *reluctant) called() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// differing runs a test for machines whose clocks differ from the database's.
func differing(t *testing.T, test func(t *testing.T, s *clockStore)) {
	t.Helper()
	for name, ahead := range map[string]time.Duration{"behind": 10 * time.Minute, "ahead": -10 * time.Minute} {
		t.Run("the machine is "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &clockStore{ahead: ahead}) })
		})
	}
}

func driveTrips(t *testing.T, s *clockStore, p Participant) *Engine {
	t.Helper()
	e, err := NewEngine(Options{
		Store: s, Definitions: []Definition{trip}, Participants: map[string]Participant{"a": p, "b": p, "c": p},
		NewID: func() (string, error) { return "1", nil }, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Settings: DefaultSettings(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// after lets time pass in the test's bubble.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// endsWithin asserts that the saga stands as it is until its deadline and is
// given up within a second of it.
func (s *clockStore) endsWithin(t *testing.T, within time.Duration) {
	t.Helper()
	after(within - time.Second)
	if got := s.read(); got.Cause != nil {
		t.Fatalf("it was given up a second early: %+v", got.Cause)
	}
	after(2 * time.Second)
	if got := s.read(); got.State != Failed || got.Cause == nil || got.Cause.Code != causeDeadline {
		t.Fatalf("a second after its deadline it is %s: %+v", got.State, got.Cause)
	}
}

func TestADeadlineIsByTheDatabasesClock(t *testing.T) {
	for name, approval := range map[string]bool{"waiting for an approval": true, "between two tries": false} {
		t.Run(name, func(t *testing.T) {
			differing(t, func(t *testing.T, s *clockStore) {
				p := &reluctant{fails: 1000}
				if approval {
					p.fails = 0
				}
				s.put(t, approval, time.Minute)
				driveTrips(t, s, p)
				s.endsWithin(t, time.Minute)
			})
		})
	}
}

func TestASagaBeginsByTheDatabasesClock(t *testing.T) {
	differing(t, func(t *testing.T, s *clockStore) {
		e := driveTrips(t, s, &reluctant{})
		show := func(Saga) (Outcome, error) { return Outcome{}, nil }
		began := s.now()
		begun, err := e.Begin(t.Context(), trip, Request{Data: tripData{Approval: true}, Time: time.Minute}, show)
		if err != nil {
			t.Fatal(err)
		}
		if got := begun.Saga; !got.CreatedAt.Equal(began) || !got.Deadline.Equal(began.Add(time.Minute)) {
			t.Errorf("begun at %v until %v, want it at %v", got.CreatedAt, got.Deadline, began)
		}
		s.endsWithin(t, time.Minute)
	})
}

// The pauses between tries are those of backoff, plus the time until the next claim.
func TestRetriesAreByTheDatabasesClock(t *testing.T) {
	differing(t, func(t *testing.T, s *clockStore) {
		p := &reluctant{fails: 6}
		s.put(t, false, time.Hour)
		driveTrips(t, s, p)
		after(10 * time.Second)
		calls := p.called()
		if got := s.read(); got.State != Completed {
			t.Fatalf("it is %s after %d calls", got.State, len(calls))
		}
		for i := 1; i <= p.fails; i++ {
			pause, least := calls[i].Sub(calls[i-1]), backoff(Saga{State: Running, Failures: i})
			if pause < least || pause > least+2*DefaultSettings().ClaimEvery {
				t.Errorf("pause %d was %v, want %v", i, pause, least)
			}
		}
	})
}

// After a failover the database's clock is another machine's.
func TestTheClockOfANewDatabaseIsFollowed(t *testing.T) {
	differing(t, func(t *testing.T, s *clockStore) {
		driveTrips(t, s, &reluctant{})
		after(5 * time.Second)
		s.set(-s.ahead, false)
		after(2 * time.Second)
		s.put(t, true, time.Minute)
		s.endsWithin(t, time.Minute)
	})
}

// While the clock cannot be read, nothing is claimed before the first reading,
// and later the last one stands.
func TestTheLastReadingOfTheClockStands(t *testing.T) {
	differing(t, func(t *testing.T, s *clockStore) {
		s.set(s.ahead, true)
		e := driveTrips(t, s, &reluctant{})
		s.put(t, true, time.Minute)
		if _, err := e.Approve(t.Context(), trip, "1"); err == nil {
			t.Error("a saga was changed without a clock")
		}
		after(5 * time.Second)
		if s.claims != 0 {
			t.Fatalf("claimed %d times without a clock", s.claims)
		}
		s.set(s.ahead, false)
		after(2 * time.Second)
		s.set(s.ahead, true)
		s.endsWithin(t, 53*time.Second)
	})
}

// A saga that is claimed a moment before it is due sleeps until then, not until
// its lease is over.
func TestASagaClaimedTooEarlySleepsUntilItIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &clockStore{}
		s.put(t, false, time.Hour)
		s.saga.Failures, s.saga.UpdatedAt = 6, s.now() // due in 1.6 s
		p := &reluctant{}
		driveTrips(t, s, p)
		after(2 * time.Second)
		if got := s.read(); got.State != Completed {
			t.Errorf("it is %s", got.State)
		}
	})
}
