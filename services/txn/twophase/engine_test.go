package twophase_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// party is a participant that votes as it is set, and records its calls.
type party struct {
	vote func(ctx context.Context, payload any) error // nil: yes

	mu    sync.Mutex
	calls []string
}

func (p *party) record(call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
}

func (p *party) Prepare(ctx context.Context, _ twophase.Message, payload any) error {
	p.record("prepare")
	if p.vote == nil {
		return nil
	}
	return p.vote(ctx, payload)
}

func (p *party) Commit(context.Context, twophase.Message) error { p.record("commit"); return nil }
func (p *party) Abort(context.Context, twophase.Message) error  { p.record("abort"); return nil }

// requireCalls checks the calls of a participant since the last check.
func (p *party) requireCalls(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.calls, want) {
		t.Errorf("calls %v, want %v", p.calls, want)
	}
	p.calls = nil
}

// between runs do with an engine between two participants.
func between(t *testing.T, left, right *party, change func(*twophase.Settings), do func(t *testing.T, e *twophase.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		settings := twophase.DefaultSettings("one")
		if change != nil {
			change(&settings)
		}
		engine, err := twophase.New(twophase.Dependencies{
			Store:        txntest.NewMemory(settings, time.Now),
			Participants: map[string]twophase.Participant{"left": left, "right": right},
			Metrics:      twophase.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		}, settings)
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		do(t, engine)
		if err := engine.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func request(key string, amount int64) twophase.Request {
	return twophase.Request{
		Claim: twophase.Claim{
			Kind: "transfer", Caller: "c", Key: key, RequestHash: twophase.HashRequest("transfer", amount),
			Branches: []string{"left", "right"}, Payload: []byte(`{"for":"` + key + `"}`),
		},
		Wants: []twophase.Want{{Resource: "r", Amount: amount}}, Holder: "left",
		Plan: func(context.Context, twophase.Transaction) (twophase.Work, error) {
			outcome, err := twophase.Success(http.StatusCreated, amount)
			return twophase.Work{Payloads: map[string]any{"left": amount}, Outcome: outcome}, err
		},
	}
}

func TestARequestIsMetOnce(t *testing.T) {
	t.Parallel()
	left, right := &party{}, &party{}
	between(t, left, right, nil, func(t *testing.T, e *twophase.Engine) {
		for _, replayed := range []bool{false, true} {
			got, err := e.Run(t.Context(), request("k", 5))
			if err != nil || got.Status != http.StatusCreated || string(got.Body) != "5" || string(got.Payload) != `{"for":"k"}` || got.Replayed != replayed {
				t.Errorf("got %+v, %v", got, err)
			}
			time.Sleep(time.Second) // the end is recorded
		}
		left.requireCalls(t, "prepare", "commit")
		right.requireCalls(t, "prepare", "commit")
		if _, err := e.Run(t.Context(), request("k", 6)); fault.KindOf(err) != fault.IdempotencyKeyReused {
			t.Errorf("another request under the key: %v", err)
		}
	})
}

func TestADefiniteRefusalIsBoundToTheKey(t *testing.T) {
	t.Parallel()
	left, right := &party{}, &party{vote: func(context.Context, any) error { return tooLittle(1) }}
	between(t, left, right, nil, func(t *testing.T, e *twophase.Engine) {
		for _, replayed := range []bool{false, true} {
			got, err := e.Run(t.Context(), request("k", 5))
			if fault.KindOf(err) != fault.VersionMismatch || got.Replayed != replayed {
				t.Errorf("got %+v, %v", got, err)
			}
			time.Sleep(time.Second) // the branches get the decision
		}
		left.requireCalls(t, "prepare", "abort")
		right.requireCalls(t, "prepare", "abort")
	})
}

func TestAPlanThatWasOvertakenIsMadeAnew(t *testing.T) {
	t.Parallel()
	tries := 0
	left, right := &party{}, &party{vote: func(context.Context, any) error {
		if tries++; tries < 3 {
			return fault.New(fault.Aborted, "not this one")
		}
		return nil
	}}
	between(t, left, right, nil, func(t *testing.T, e *twophase.Engine) {
		if _, err := e.Run(t.Context(), request("k", 5)); err != nil {
			t.Error(err)
		}
		left.requireCalls(t, "prepare", "abort", "prepare", "abort", "prepare", "commit")
		if tx, err := e.Transaction(t.Context(), twophase.GID("c", "k", 3)); err != nil || !tx.Commits {
			t.Errorf("the third attempt is %+v, %v", tx, err)
		}
	})
}

// tooLittle refuses and says how much is left.
func tooLittle(left int64) *fault.Error {
	f := fault.New(fault.VersionMismatch, "too little")
	f.Details = fault.Details{"left": left}
	return f
}

// One refusal answers those who wait and want more than is left, without calling a
// participant; the others are tried.
func TestARefusalAnswersTheCrowd(t *testing.T) {
	t.Parallel()
	var counted chan struct{}
	left, right := &party{vote: func(_ context.Context, amount any) error {
		<-counted
		if amount.(int64) > 2 {
			return tooLittle(2)
		}
		return nil
	}}, &party{}
	one := func(s *twophase.Settings) { s.MaxPerResource = 1 }
	between(t, left, right, one, func(t *testing.T, e *twophase.Engine) {
		counted = make(chan struct{}) // of the bubble
		answers := map[string]error{}
		var mu sync.Mutex
		var crowd sync.WaitGroup
		send := func(key string, amount int64) {
			crowd.Go(func() {
				r := request(key, amount)
				r.Shortages = func(refusal *fault.Error) []twophase.Shortage {
					return []twophase.Shortage{{Resource: "r", Left: refusal.Details["left"].(int64), Refusal: refusal}}
				}
				_, err := e.Run(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				answers[key] = err
			})
			synctest.Wait()
		}
		// The second holds the resource while it counts; the others came before its call.
		send("first", 1)
		send("counts", 5)
		send("too many", 3)
		send("few enough", 2)
		time.Sleep(time.Millisecond) // requests from now on arrive after them
		close(counted)
		crowd.Wait()
		for key, kind := range map[string]fault.Kind{"counts": fault.VersionMismatch, "too many": fault.VersionMismatch} {
			if fault.KindOf(answers[key]) != kind {
				t.Errorf("%s: %v", key, answers[key])
			}
		}
		if answers["first"] != nil || answers["few enough"] != nil {
			t.Errorf("refused: %v", answers)
		}
		time.Sleep(time.Second)
		if got, err := e.Run(t.Context(), request("too many", 3)); !got.Replayed || fault.KindOf(err) != fault.VersionMismatch {
			t.Errorf("not bound: %+v, %v", got, err)
		}
		left.requireCalls(t, "prepare", "commit", "prepare", "abort", "prepare", "commit")
	})
}

func TestSettingsKeepTheProtocolsPromises(t *testing.T) {
	if err := twophase.DefaultSettings("a").Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	spoil := map[string]func(*twophase.Settings){
		"no name":                     func(s *twophase.Settings) { s.Owner = "" },
		"renewals too rare":           func(s *twophase.Settings) { s.RenewEvery = s.Lease / 2 },
		"calls as long as an attempt": func(s *twophase.Settings) { s.CallTimeout = s.AttemptTimeout },
		"doubt too long":              func(s *twophase.Settings) { s.TakeOverEvery = 3 * time.Second },
		"no attempt":                  func(s *twophase.Settings) { s.MaxAttempts = 0 },
		"busy loop":                   func(s *twophase.Settings) { s.PollEvery = 0 },
		"batch over the limit":        func(s *twophase.Settings) { s.TakeOverLimit = 1 },
	}
	for name, f := range spoil {
		s := twophase.DefaultSettings("a")
		f(&s)
		if s.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The times of the two packages, neither of which may know the other.
func TestMarkersGoBeforeAttempts(t *testing.T) {
	s := twophase.DefaultSettings("one")
	if s.Retention < participant.BranchMarkersKept+3*24*time.Hour {
		t.Errorf("attempts are kept for %v, markers for %v", s.Retention, participant.BranchMarkersKept)
	}
	s.Retention = participant.BranchMarkersKept + 2*24*time.Hour
	if s.Validate() == nil {
		t.Error("attempts may be gone before their markers")
	}
}
