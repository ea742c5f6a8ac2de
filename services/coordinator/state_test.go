package coordinator_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/coordinator"
	"bookstore/services/platform/fault"
)

func TestTransitions(t *testing.T) {
	type step struct {
		from coordinator.State
		on   coordinator.Event
	}
	meaningful := map[step]coordinator.State{
		{coordinator.Preparing, coordinator.AllPrepared}:      coordinator.Committing,
		{coordinator.Preparing, coordinator.BranchRefused}:    coordinator.Aborted,
		{coordinator.Preparing, coordinator.BranchUnknown}:    coordinator.Aborted,
		{coordinator.Preparing, coordinator.DeadlinePassed}:   coordinator.Aborted,
		{coordinator.Preparing, coordinator.LeaseLapsed}:      coordinator.Aborted,
		{coordinator.Committing, coordinator.AllAcknowledged}: coordinator.Committed,
		{coordinator.Committing, coordinator.BranchLost}:      coordinator.Heuristic,
		{coordinator.Aborted, coordinator.AllAcknowledged}:    coordinator.Aborted,
		{coordinator.Aborted, coordinator.BranchLost}:         coordinator.Heuristic,
	}
	for _, from := range coordinator.States() {
		for _, on := range coordinator.Events() {
			want, means := meaningful[step{from, on}]
			if !means {
				want = from
			}
			if got, ok := coordinator.Next(from, on); got != want || ok != means {
				t.Errorf("%s on %s: got %s, %v; want %s, %v", from, on, got, ok, want, means)
			}
		}
	}
}

// Whatever happens in whatever order, a decision stands once it is made, and
// a commit is decided only when every branch has prepared.
func TestADecisionIsMadeOnceAndStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, decided := coordinator.Preparing, false
		commits := false
		for _, event := range rapid.SliceOf(rapid.SampledFrom(coordinator.Events())).Draw(t, "events") {
			next, ok := coordinator.Next(state, event)
			if !ok && next != state {
				t.Fatalf("%s changed %s although it means nothing there", event, state)
			}
			if !decided && next.Decided() {
				decided, commits = true, next == coordinator.Committing
				if commits != (event == coordinator.AllPrepared) {
					t.Fatalf("%s led to %s", event, next)
				}
			}
			if commits && next == coordinator.Aborted || !commits && (next == coordinator.Committing || next == coordinator.Committed) {
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
		event, cause := coordinator.Tally(votes)
		allYes := true
		worst := map[coordinator.Vote]bool{}
		for _, v := range votes {
			allYes = allYes && v == nil
			worst[coordinator.VoteOf(v)] = true
		}
		if (event == coordinator.AllPrepared) != allYes || (cause == nil) != allYes {
			t.Fatalf("%v became %s, %v", votes, event, cause)
		}
		if worst[coordinator.No] && coordinator.VoteOf(cause) != coordinator.No {
			t.Fatalf("a definite refusal among %v was not reported, but %v", votes, cause)
		}
		if !worst[coordinator.No] && worst[coordinator.Unsure] && event != coordinator.BranchUnknown {
			t.Fatalf("an unknown answer among %v was taken for known", votes)
		}
		shuffled, _ := coordinator.Tally(rapid.Permutation(votes).Draw(t, "order"))
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
		if got := coordinator.VoteOf(err); got != coordinator.Unsure {
			t.Errorf("%v is vote %d, want unsure", err, got)
		}
	}
}

func TestVotesFollowTheTableOfKinds(t *testing.T) {
	for _, kind := range fault.Kinds() {
		err := fault.New(kind, "")
		want := coordinator.Unsure
		switch {
		case kind.Retry() == fault.Anew:
			want = coordinator.Again
		case fault.Decides(err):
			want = coordinator.No
		}
		if got := coordinator.VoteOf(err); got != want || fault.Unknown(err) != (got == coordinator.Unsure) && fault.Decides(err) {
			t.Errorf("%s is vote %d, want %d", kind, got, want)
		}
	}
}
