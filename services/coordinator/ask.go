package coordinator

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

// Sight is what coordinatordb knows about a gid when it is asked about.
type Sight struct {
	Found  bool
	State  State
	Lapsed bool // the owner's lease is over
	Late   bool // the deadline has passed
}

// Presume tells in which state an attempt is once somebody has asked about it.
// No commit on record means abort, unless the owner may still decide on one:
// it is alive and has time. Whoever asks writes the abort down, so that the
// owner, should it wake up, finds it.
func Presume(s Sight) State {
	event := LeaseLapsed
	switch {
	case !s.Found:
		return Aborted
	case s.Late:
		event = DeadlinePassed
	case !s.Lapsed:
		return s.State
	}
	next, _ := Next(s.State, event)
	return next
}

// Standing is what coordinatordb holds about a gid once Presume has been
// carried out on it.
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
func (s *Service) Ask(ctx context.Context, gid, branch string) (Answer, error) {
	var problems []fault.Field
	if !IsGID(gid) {
		problems = append(problems, problem("gid", "pattern", "1 to 64 of a-z and 0-9"))
	}
	if !validBranch.MatchString(branch) {
		problems = append(problems, problem("branch", "pattern", "1 to 32 of a-z"))
	}
	if problems != nil {
		return Answer{}, fault.Invalid(problems...)
	}
	standing, err := s.Store.Ask(ctx, gid, branch, s.settings.Owner)
	if err != nil {
		return Answer{}, fault.Wrap("answer a participant", err)
	}
	verdict := Judge(standing, branch)
	s.Metrics.asked.WithLabelValues(string(verdict)).Inc()
	if verdict != VerdictPending {
		s.Log.WarnContext(ctx, "a participant asked about its branch", "gid", gid, "branch", branch, "answer", verdict)
	}
	return Answer{Verdict: verdict, Branches: standing.Branches, Deadline: standing.Deadline}, nil
}
