package twophase_test

import (
	"testing"

	"bookstore/services/txn/twophase"
)

func TestTheVerdictAboutABranch(t *testing.T) {
	both := []string{"left", "right"}
	cases := []struct {
		state   twophase.State
		commits bool
		branch  string
		want    twophase.Verdict
	}{
		{twophase.Preparing, false, "left", twophase.VerdictPending},
		{twophase.Committing, true, "left", twophase.VerdictCommit},
		{twophase.Committed, true, "right", twophase.VerdictCommit},
		{twophase.Aborted, false, "left", twophase.VerdictAbort},
		{twophase.Heuristic, true, "left", twophase.VerdictCommit},
		{twophase.Heuristic, false, "left", twophase.VerdictAbort},
		{twophase.Committed, true, "other", twophase.VerdictAbort}, // not one of it
		{twophase.Preparing, false, "other", twophase.VerdictPending},
		{"odd", true, "left", twophase.VerdictPending},
	}
	for _, c := range cases {
		s := twophase.Standing{State: c.state, Commits: c.commits, Branches: both}
		if got := s.Verdict(c.branch); got != c.want {
			t.Errorf("%+v: answered %s", c, got)
		}
	}
}
