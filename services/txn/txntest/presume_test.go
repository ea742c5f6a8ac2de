package txntest_test

import (
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

func TestWhatIsPresumed(t *testing.T) {
	cases := []struct {
		found, lapsed, late bool
		state, want         twophase.State
	}{
		{found: false, want: twophase.Aborted},
		{found: true, state: twophase.Preparing, want: twophase.Preparing},
		{found: true, state: twophase.Preparing, lapsed: true, want: twophase.Aborted},
		{found: true, state: twophase.Preparing, late: true, want: twophase.Aborted},
		{found: true, state: twophase.Preparing, lapsed: true, late: true, want: twophase.Aborted},
	}
	for _, c := range cases {
		if got := txntest.Presume(txntest.Record{Found: c.found, State: c.state, Lapsed: c.lapsed, Late: c.late}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func anyRecord(t *rapid.T) txntest.Record {
	return txntest.Record{
		Found: rapid.Bool().Draw(t, "found"), State: rapid.SampledFrom(twophase.States()).Draw(t, "state"),
		Lapsed: rapid.Bool().Draw(t, "lapsed"), Late: rapid.Bool().Draw(t, "late"),
	}
}

// A question decides nothing but aborts, and nothing that is decided.
func TestAQuestionNeverCommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyRecord(t)
		got := txntest.Presume(s)
		switch {
		case s.Found && s.State.Decided() && got != s.State:
			t.Fatalf("%+v became %s", s, got)
		case got != twophase.Preparing && got != twophase.Aborted && (!s.Found || got != s.State):
			t.Fatalf("%+v became %s", s, got)
		case s.Found && s.State == twophase.Preparing && !s.Lapsed && !s.Late && got.Decided():
			t.Fatalf("%+v was decided over its owner's head", s)
		}
		s.Found, s.State = true, got
		if again := txntest.Presume(s); again != got {
			t.Fatalf("repeated: %s after %s", again, got)
		}
	})
}
