package coordinator_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bookstore/services/coordinator"
	"bookstore/services/txn/branch"
)

func TestWhatIsPresumed(t *testing.T) {
	cases := []struct {
		found, lapsed, late bool
		state, want         coordinator.State
	}{
		{found: false, want: coordinator.Aborted},
		{found: true, state: coordinator.Preparing, want: coordinator.Preparing},
		{found: true, state: coordinator.Preparing, lapsed: true, want: coordinator.Aborted},
		{found: true, state: coordinator.Preparing, late: true, want: coordinator.Aborted},
		{found: true, state: coordinator.Preparing, lapsed: true, late: true, want: coordinator.Aborted},
	}
	for _, c := range cases {
		if got := coordinator.Presume(coordinator.Sight{Found: c.found, State: c.state, Lapsed: c.lapsed, Late: c.late}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func anySight(t *rapid.T) coordinator.Sight {
	return coordinator.Sight{
		Found: rapid.Bool().Draw(t, "found"), State: rapid.SampledFrom(coordinator.States()).Draw(t, "state"),
		Lapsed: rapid.Bool().Draw(t, "lapsed"), Late: rapid.Bool().Draw(t, "late"),
	}
}

// A question decides nothing but aborts, and nothing that is decided.
func TestAQuestionNeverCommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySight(t)
		got := coordinator.Presume(s)
		switch {
		case s.Found && s.State.Decided() && got != s.State:
			t.Fatalf("%+v became %s", s, got)
		case got != coordinator.Preparing && got != coordinator.Aborted && (!s.Found || got != s.State):
			t.Fatalf("%+v became %s", s, got)
		case s.Found && s.State == coordinator.Preparing && !s.Lapsed && !s.Late && got.Decided():
			t.Fatalf("%+v was decided over its owner's head", s)
		}
		s.Found, s.State = true, got
		if again := coordinator.Presume(s); again != got {
			t.Fatalf("asked again: %s after %s", again, got)
		}
	})
}

func TestWhatABranchIsTold(t *testing.T) {
	both := []string{"books", "orders"}
	cases := []struct {
		state   coordinator.State
		commits bool
		branch  string
		want    coordinator.Verdict
	}{
		{coordinator.Preparing, false, "books", coordinator.VerdictPending},
		{coordinator.Committing, true, "books", coordinator.VerdictCommit},
		{coordinator.Committed, true, "orders", coordinator.VerdictCommit},
		{coordinator.Aborted, false, "books", coordinator.VerdictAbort},
		{coordinator.Heuristic, true, "books", coordinator.VerdictCommit},
		{coordinator.Heuristic, false, "books", coordinator.VerdictAbort},
		{coordinator.Committed, true, "payments", coordinator.VerdictAbort}, // not one of it
		{coordinator.Preparing, false, "payments", coordinator.VerdictPending},
		{"odd", true, "books", coordinator.VerdictPending},
	}
	for _, c := range cases {
		s := coordinator.Standing{State: c.state, Commits: c.commits, Branches: both}
		if got := coordinator.Judge(s, c.branch); got != c.want {
			t.Errorf("%+v: told %s", c, got)
		}
	}
}

// The times of the two packages, neither of which may know the other.
func TestMarkersGoBeforeAttempts(t *testing.T) {
	s := coordinator.DefaultSettings("one")
	if s.Retention < branch.MarkersKept+3*24*time.Hour {
		t.Errorf("attempts are kept for %v, markers for %v", s.Retention, branch.MarkersKept)
	}
	s.Retention = branch.MarkersKept + 2*24*time.Hour
	if s.Validate() == nil {
		t.Error("attempts may be gone before their markers")
	}
}

type told struct {
	Decision string
	Branches []string
	Deadline time.Time
}

func (s *shop) ask(gid, name string) (a told) {
	s.t.Helper()
	s.send(http.MethodPost, s.url+"/internal/transactions/"+gid+"/ask", `{"branch":"`+name+`"}`).want(s.t, http.StatusOK, "").read(s.t, &a)
	return a
}

func TestAskingOverHTTP(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	if a := s.ask(s.gid("k"), "books"); a.Decision != "commit" || len(a.Branches) != 2 || a.Deadline.IsZero() {
		t.Errorf("told %+v", a)
	}
	s.buy("none", b, 9).want(t, http.StatusConflict, "out_of_stock")
	if a := s.ask(s.gid("none"), "orders"); a.Decision != "abort" || len(a.Branches) != 2 {
		t.Errorf("told %+v", a)
	}
	pending := s.abandoned("p", b, false)
	if a := s.ask(pending.GID, "books"); a.Decision == "commit" {
		t.Errorf("told %+v", a)
	}
	s.eventually("the abort is told", func() bool { return s.ask(pending.GID, "books").Decision == "abort" })
	for path, body := range map[string]string{
		"a/ask": `{"branch":"Books"}`, "NO/ask": `{"branch":"books"}`, "b/ask": `{"branch":""}`,
	} {
		s.send(http.MethodPost, s.url+"/internal/transactions/"+path, body).want(t, http.StatusUnprocessableEntity, "invalid_field")
	}
	s.send(http.MethodPost, s.url+"/internal/transactions/a/ask", `{"branch":"books","x":1}`).want(t, http.StatusBadRequest, "malformed_request")
	s.settled()
}

// A participant was told that a gid is aborted of which nobody knew. Whoever
// comes with the key that makes this gid gets the one after it.
func TestAKeyWhoseGIDWasAskedAboutIsServed(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	for i := 1; i <= 2; i++ {
		if a := s.ask(s.gid(fmt.Sprint("k", i)), "books"); a.Decision != "abort" || time.Until(a.Deadline) < 59*time.Minute {
			t.Errorf("told %+v", a)
		}
	}
	s.buy("k1", b, 1).want(t, http.StatusCreated, "")
	first := s.buy("k2", b, 1).want(t, http.StatusCreated, "")
	if again := s.buy("k2", b, 1).want(t, http.StatusCreated, ""); again.text != first.text {
		t.Errorf("replayed %s", again.text)
	}
	s.settled()
	if s.stock(b) != 3 {
		t.Errorf("stock %d", s.stock(b))
	}
}
