package twophase_test

import (
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/txn/twophase"
)

func TestWhatARepeatedRequestDoes(t *testing.T) {
	hash, other := []byte{1}, []byte{2}
	outcome := &twophase.Outcome{Status: 201, Body: []byte("{}")}
	found := func(s twophase.State, o *twophase.Outcome, lapsed, expired bool) twophase.Latest {
		return twophase.Latest{
			Transaction: twophase.Transaction{State: s}, RequestHash: hash, Outcome: o, Lapsed: lapsed, Expired: expired,
		}
	}
	cases := []struct {
		name   string
		latest twophase.Latest
		hash   []byte
		want   twophase.Action
	}{
		{"running", found(twophase.Preparing, nil, false, false), hash, twophase.ActWait},
		{"decided, branches not through", found(twophase.Committing, outcome, false, false), hash, twophase.ActWait},
		{"owner gone before the decision", found(twophase.Preparing, nil, true, false), hash, twophase.ActTakeOver},
		{"owner gone after the decision", found(twophase.Committing, outcome, true, false), hash, twophase.ActTakeOver},
		{"committed", found(twophase.Committed, outcome, true, false), hash, twophase.ActReplay},
		{"refused", found(twophase.Aborted, outcome, true, false), hash, twophase.ActReplay},
		{"aborted without an outcome", found(twophase.Aborted, nil, true, false), hash, twophase.ActAttempt},
		{"heuristic", found(twophase.Heuristic, outcome, true, false), hash, twophase.ActRefuse},
		{"another request, running", found(twophase.Preparing, nil, false, false), other, twophase.ActReused},
		{"another request, committed", found(twophase.Committed, outcome, true, false), other, twophase.ActReused},
		{"yesterday's", found(twophase.Committed, outcome, true, true), hash, twophase.ActAttempt},
		{"yesterday's, another request", found(twophase.Committed, outcome, true, true), other, twophase.ActAttempt},
		{"yesterday's, still unfinished", found(twophase.Committing, outcome, false, true), hash, twophase.ActWait},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := twophase.ActionFor(c.latest, c.hash); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestGIDsDifferByEveryPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type triple struct {
			caller, key string
			attempt     int
		}
		draw := rapid.Custom(func(t *rapid.T) triple {
			return triple{rapid.StringN(0, 6, -1).Draw(t, "caller"), rapid.StringN(0, 6, -1).Draw(t, "key"), rapid.IntRange(1, 20).Draw(t, "attempt")}
		})
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		ga := twophase.GID(a.caller, a.key, a.attempt)
		gb := twophase.GID(b.caller, b.key, b.attempt)
		if !twophase.IsGID(ga) || len(ga) != 32 {
			t.Fatalf("%q is no gid", ga)
		}
		if (a == b) != (ga == gb) {
			t.Fatalf("%v and %v became %s and %s", a, b, ga, gb)
		}
	})
	if twophase.GID("a", "bc", 1) == twophase.GID("ab", "c", 1) {
		t.Error("caller and key run into one another")
	}
}
