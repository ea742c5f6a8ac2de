package twophase

import (
	"context"
	"regexp"
	"slices"
	"time"

	"bookstore/services/platform/fault"
)

// Verdict is what a participant is told about a branch that it holds prepared
// and has heard nothing about.
type Verdict string

// The verdicts.
const (
	VerdictCommit  Verdict = "commit"
	VerdictAbort   Verdict = "abort"
	VerdictPending Verdict = "pending" // not decided, and its owner is alive: ask again
)

// Standing is what the store holds about a gid once somebody has asked about it.
// No commit on record means abort, unless the owner may still decide on one: it
// is alive and has time. Whoever asks writes the abort down, so that the owner,
// should it wake up, finds it.
type Standing struct {
	State    State
	Commits  bool // the decision is to commit
	Branches []string
	Deadline time.Time
}

// Judge tells what that means for one branch. One that a committed transaction
// does not have is no part of what was decided.
func Judge(s Standing, branch string) Verdict {
	switch {
	case !s.State.Decided():
		return VerdictPending
	case s.Commits && slices.Contains(s.Branches, branch):
		return VerdictCommit
	}
	return VerdictAbort
}

// Answer is a verdict with what a message about the branch needs: who asks
// knows no more than its gid, for the rest is part of what is prepared.
type Answer struct {
	Verdict  Verdict
	Branches []string
	Deadline time.Time
}

var validBranch = regexp.MustCompile(`^[a-z]{1,32}$`)

// Ask tells a participant what was decided about its branch of gid.
func (e *Engine) Ask(ctx context.Context, gid, branch string) (Answer, error) {
	var problems []fault.Field
	if !IsGID(gid) {
		problems = append(problems, fault.Field{Field: "gid", Code: "pattern", Detail: "1 to 64 of a-z and 0-9"})
	}
	if !validBranch.MatchString(branch) {
		problems = append(problems, fault.Field{Field: "branch", Code: "pattern", Detail: "1 to 32 of a-z"})
	}
	if problems != nil {
		return Answer{}, fault.Invalid(problems...)
	}
	standing, err := e.Store.Ask(ctx, gid, branch, e.settings.Owner)
	if err != nil {
		return Answer{}, fault.Wrap("answer a participant", err)
	}
	verdict := Judge(standing, branch)
	e.Metrics.asked.WithLabelValues(string(verdict)).Inc()
	if verdict != VerdictPending {
		e.Log.WarnContext(ctx, "a participant asked about its branch", "gid", gid, "branch", branch, "answer", verdict)
	}
	return Answer{Verdict: verdict, Branches: standing.Branches, Deadline: standing.Deadline}, nil
}
