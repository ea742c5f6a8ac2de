package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/wait/waittest"
)

// heldStore has one saga, given out again and again, and a hold that a test changes.
type heldStore struct {
	Store

	mu     sync.Mutex
	saga   Saga
	before time.Time
	err    error
}

func (s *heldStore) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (s *heldStore) Hold(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before, s.err
}

func (s *heldStore) set(before time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.err = before, err
}

func (s *heldStore) Claim(context.Context, int, time.Duration) ([]Saga, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saga.State.Final() {
		return nil, nil
	}
	s.saga.Version++
	return []Saga{s.saga}, nil
}

func (s *heldStore) Postpone(context.Context, []Saga, time.Duration) error { return nil }

func (s *heldStore) Advance(_ context.Context, changes []Change) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	applied := make([]bool, len(changes))
	for i, c := range changes {
		if applied[i] = c.Version == s.saga.Version; applied[i] {
			s.saga = c.Saga
			s.saga.Version++
		}
	}
	return applied, nil
}

func (s *heldStore) state(step int) StepState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saga.Steps[step].State
}

// willing does every step.
type willing struct{}

func (willing) Do(context.Context, Call, any) error { return nil }

func (willing) Undo(context.Context, Call) error { return nil }

// A saga begun before a restore comes as far as the first step outside and waits there, without a try being
// counted; one begun since goes through.
func TestAHeldSagaWaitsBeforeItCallsOutside(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	s := voyage(t, begun, begun.Add(time.Minute), nil)
	s.eventually(t, func() bool { return s.state(0) == Done && s.state(1) == Doing })
	s.stays(t, 1, Doing)
	s.set(time.Time{}, nil)
	s.eventually(t, func() bool { return s.state(1) == Done })
	if s.saga.State != Completed || s.saga.Steps[1].Attempts != 1 {
		t.Errorf("ended as %+v", s.saga)
	}

	since := voyage(t, begun, begun.Add(-time.Minute), nil)
	since.eventually(t, func() bool { return since.state(1) == Done })
}

// Until the store has said that there is no hold, there is one.
func TestWithoutAnAnswerSagasAreHeld(t *testing.T) {
	t.Parallel()
	s := voyage(t, time.Now(), time.Time{}, errors.New("no database"))
	s.eventually(t, func() bool { return s.state(1) == Doing })
	s.stays(t, 1, Doing)
	s.set(time.Time{}, nil)
	s.eventually(t, func() bool { return s.state(1) == Done })
}

// voyage drives a saga of two steps, the second of which reaches outside.
func voyage(t *testing.T, begun, before time.Time, err error) *heldStore {
	t.Helper()
	s := &heldStore{before: before, err: err, saga: saga(begun, "1")}
	settings := DefaultSettings()
	settings.ClaimEvery, settings.HoldEvery, settings.CountEvery = 5*time.Millisecond, 5*time.Millisecond, time.Hour
	drive(t, s, settings)
	return s
}

func saga(begun time.Time, id string) Saga {
	return Saga{
		ID: id, Definition: "trip", State: Running, Data: []byte("{}"), Version: 1, CreatedAt: begun, UpdatedAt: begun,
		Deadline: begun.Add(time.Hour), Steps: []Step{{Name: "one", State: Doing}, {Name: "two", State: Pending}},
	}
}

// drive runs an engine over a store until the test ends.
func drive(t *testing.T, s Store, settings Settings) (*Engine, Definition) {
	t.Helper()
	d := Define("trip", StepOf[struct{}]{Name: "one", At: "here", Send: func(d struct{}) any { return d }},
		StepOf[struct{}]{Name: "two", At: "here", Outside: true, Send: func(d struct{}) any { return d }})
	e, problem := NewEngine(Options{
		Store: s, Definitions: []Definition{d}, Participants: map[string]Participant{"here": willing{}},
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Settings: settings,
	})
	if problem != nil {
		t.Fatal(problem)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, d
}

func (s *heldStore) eventually(t *testing.T, done func() bool) {
	t.Helper()
	waittest.EventuallyNil(t, "the saga comes to where it should", func(context.Context) error {
		if done() {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("the saga stands at %+v", s.saga)
	})
}

// stays waits for as long as many claims take.
func (s *heldStore) stays(t *testing.T, step int, state StepState) {
	t.Helper()
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got := s.state(step); got != state {
			t.Fatalf("step %d is %s, want it to stay %s", step, got, state)
		}
	}
}

// queueStore hands out sagas in the order in which they are due.
type queueStore struct {
	heldStore
	due       []Saga
	postponed int
}

func (s *queueStore) Claim(_ context.Context, limit int, _ time.Duration) ([]Saga, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, len(s.due))
	claimed := s.due[:n:n]
	s.due = s.due[n:]
	return claimed, nil
}

func (s *queueStore) Postpone(_ context.Context, sagas []Saga, wake time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wake > 10*time.Second {
		s.postponed += len(sagas)
	}
	return nil
}

// Thousands of sagas that are held delay nobody: they are put off, many at a
// time, one batch right after the other.
func TestHeldSagasDelayNobody(t *testing.T) {
	t.Parallel()
	const held = 5000
	now := time.Now()
	s := &queueStore{heldStore: heldStore{before: now.Add(-time.Second), saga: saga(now, "last")}}
	for i := range held {
		one := saga(now.Add(-time.Minute), fmt.Sprint(i))
		one.Steps[0].State, one.Steps[1].State = Done, Doing
		s.due = append(s.due, one)
	}
	s.due = append(s.due, s.saga)
	settings := DefaultSettings()
	settings.CountEvery = time.Hour
	began := time.Now()
	drive(t, s, settings)
	s.eventually(t, func() bool { return s.state(1) == Done })
	if rounds := time.Since(began) / settings.ClaimEvery; int(rounds)*settings.ClaimBatch > held {
		t.Errorf("%d rounds have passed: enough without any hurry", rounds)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postponed != held {
		t.Errorf("%d are put off, want %d", s.postponed, held)
	}
}

// racyStore has one stuck saga, which someone else changes after it was read.
type racyStore struct {
	heldStore
	reads int
}

func (s *racyStore) Claim(context.Context, int, time.Duration) ([]Saga, error) { return nil, nil }

func (s *racyStore) Get(context.Context, string, string) (Saga, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	read := s.saga
	if s.reads++; s.reads == 1 {
		s.saga.Version++
		s.saga.Failures++
	}
	return read, nil
}

// What Retry returns is what is stored, also when someone else was quicker.
func TestARetryThatLosesARaceIsMadeAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &racyStore{heldStore: heldStore{before: now.Add(time.Minute), saga: saga(now, "1")}}
	s.saga.State, s.saga.Failures = Stuck, 3
	s.saga.Steps[0].State, s.saga.Steps[1].State = Done, Doing // held: nobody drives it on
	settings := DefaultSettings()
	settings.CountEvery = time.Hour
	e, d := drive(t, s, settings)
	got, err := e.Retry(t.Context(), d, "1")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || got.Version != s.saga.Version || got.Failures != 0 || s.saga.Failures != 0 {
		t.Errorf("got %+v (%v), stored is %+v", got, err, s.saga)
	}
}
