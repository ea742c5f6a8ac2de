package twophase_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

func TestTransitions(t *testing.T) {
	type step struct {
		from twophase.State
		on   twophase.Event
	}
	meaningful := map[step]twophase.State{
		{twophase.Preparing, twophase.AllPrepared}:      twophase.Committing,
		{twophase.Preparing, twophase.BranchRefused}:    twophase.Aborted,
		{twophase.Preparing, twophase.BranchUnknown}:    twophase.Aborted,
		{twophase.Preparing, twophase.DeadlinePassed}:   twophase.Aborted,
		{twophase.Preparing, twophase.LeaseLapsed}:      twophase.Aborted,
		{twophase.Committing, twophase.AllAcknowledged}: twophase.Committed,
		{twophase.Committing, twophase.BranchLost}:      twophase.Heuristic,
		{twophase.Aborted, twophase.AllAcknowledged}:    twophase.Aborted,
		{twophase.Aborted, twophase.BranchLost}:         twophase.Heuristic,
	}
	for _, from := range twophase.States() {
		for _, on := range twophase.Events() {
			want, means := meaningful[step{from, on}]
			if !means {
				want = from
			}
			if got, ok := twophase.Next(from, on); got != want || ok != means {
				t.Errorf("%s on %s: got %s, %v; want %s, %v", from, on, got, ok, want, means)
			}
		}
	}
}

// Whatever happens in whatever order, a decision stands once it is made, and
// a commit is decided only when every branch has prepared.
func TestADecisionIsMadeOnceAndStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, decided := twophase.Preparing, false
		commits := false
		for _, event := range rapid.SliceOf(rapid.SampledFrom(twophase.Events())).Draw(t, "events") {
			next, ok := twophase.Next(state, event)
			if !ok && next != state {
				t.Fatalf("%s changed %s although it means nothing there", event, state)
			}
			if !decided && next.Decided() {
				decided, commits = true, next == twophase.Committing
				if commits != (event == twophase.AllPrepared) {
					t.Fatalf("%s led to %s", event, next)
				}
			}
			if commits && next == twophase.Aborted || !commits && (next == twophase.Committing || next == twophase.Committed) {
				t.Fatalf("the decision was turned from %s into %s", state, next)
			}
			state = next
		}
	})
}

func vote(t *rapid.T) error {
	kinds := append([]fault.Kind{""}, fault.Kinds()...)
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	if kind == "" {
		return nil
	}
	return fault.New(kind, "")
}

// Only votes that are all yes let an attempt commit, in whatever order they
// come, and the answer that is reported is one that was given.
func TestOneVoteAgainstIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		votes := rapid.SliceOfN(rapid.Custom(vote), 1, 5).Draw(t, "votes")
		event, cause := twophase.Tally(votes)
		allYes := true
		worst := map[twophase.Vote]bool{}
		for _, v := range votes {
			allYes = allYes && v == nil
			worst[twophase.VoteOf(v)] = true
		}
		if (event == twophase.AllPrepared) != allYes || (cause == nil) != allYes {
			t.Fatalf("%v became %s, %v", votes, event, cause)
		}
		if worst[twophase.No] && twophase.VoteOf(cause) != twophase.No {
			t.Fatalf("a definite refusal among %v was not reported, but %v", votes, cause)
		}
		if !worst[twophase.No] && worst[twophase.Unsure] && event != twophase.BranchUnknown {
			t.Fatalf("an unknown answer among %v was taken for known", votes)
		}
		shuffled, _ := twophase.Tally(rapid.Permutation(votes).Draw(t, "order"))
		if shuffled != event {
			t.Fatalf("the order of votes made %s of %s", shuffled, event)
		}
	})
}

func TestUnexpectedAnswersAreNotRefusals(t *testing.T) {
	for _, err := range []error{
		errors.New("anything"), fault.New(fault.Internal, ""), fault.New(fault.Forbidden, ""),
		fault.New(fault.NotFound, ""), fault.New(fault.MalformedRequest, ""), fault.New(fault.Unavailable, ""),
	} {
		if got := twophase.VoteOf(err); got != twophase.Unsure {
			t.Errorf("%v is vote %d, want unsure", err, got)
		}
	}
}

func TestVotesFollowTheTableOfKinds(t *testing.T) {
	for _, kind := range fault.Kinds() {
		err := fault.New(kind, "")
		want := twophase.Unsure
		switch {
		case kind.Retry() == fault.Anew:
			want = twophase.Again
		case fault.Decides(err):
			want = twophase.No
		}
		if got := twophase.VoteOf(err); got != want || fault.Unknown(err) != (got == twophase.Unsure) && fault.Decides(err) {
			t.Errorf("%s is vote %d, want %d", kind, got, want)
		}
	}
}
