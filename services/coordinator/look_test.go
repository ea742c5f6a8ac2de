package coordinator_test

import (
	"testing"

	"bookstore/services/coordinator"
)

func TestWhatARepeatedRequestDoes(t *testing.T) {
	hash, other := []byte{1}, []byte{2}
	outcome := &coordinator.Outcome{Status: 201, Body: []byte("{}")}
	found := func(s coordinator.State, o *coordinator.Outcome, lapsed, expired bool) coordinator.Latest {
		return coordinator.Latest{
			Transaction: coordinator.Transaction{State: s}, RequestHash: hash, Outcome: o, Lapsed: lapsed, Expired: expired,
		}
	}
	cases := []struct {
		name   string
		latest coordinator.Latest
		hash   []byte
		want   coordinator.Action
	}{
		{"running", found(coordinator.Preparing, nil, false, false), hash, coordinator.ActWait},
		{"decided, branches not through", found(coordinator.Committing, outcome, false, false), hash, coordinator.ActWait},
		{"owner gone before the decision", found(coordinator.Preparing, nil, true, false), hash, coordinator.ActTakeOver},
		{"owner gone after the decision", found(coordinator.Committing, outcome, true, false), hash, coordinator.ActTakeOver},
		{"committed", found(coordinator.Committed, outcome, true, false), hash, coordinator.ActReplay},
		{"refused", found(coordinator.Aborted, outcome, true, false), hash, coordinator.ActReplay},
		{"aborted without an outcome", found(coordinator.Aborted, nil, true, false), hash, coordinator.ActAgain},
		{"heuristic", found(coordinator.Heuristic, outcome, true, false), hash, coordinator.ActDoubt},
		{"another request, running", found(coordinator.Preparing, nil, false, false), other, coordinator.ActReused},
		{"another request, committed", found(coordinator.Committed, outcome, true, false), other, coordinator.ActReused},
		{"yesterday's", found(coordinator.Committed, outcome, true, true), hash, coordinator.ActAgain},
		{"yesterday's, another request", found(coordinator.Committed, outcome, true, true), other, coordinator.ActAgain},
		{"yesterday's, still unfinished", found(coordinator.Committing, outcome, false, true), hash, coordinator.ActWait},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := coordinator.Look(c.latest, c.hash); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
