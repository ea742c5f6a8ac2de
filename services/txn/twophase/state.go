package twophase

import "bookstore/services/platform/fault"

// State is where an attempt of a distributed transaction stands.
//
//	             all branches prepared,
//	             before the deadline
//	preparing ─────────────────────────► committing ──► committed
//	    │                                    │
//	    │ a branch refused, its answer       │ a branch had nothing left to commit
//	    │ is unknown, the deadline passed,   ▼
//	    │ or the owner's lease lapsed      heuristic
//	    ▼                                    ▲
//	 aborted ────────────────────────────────┘ a branch had been committed
//
// The step from preparing is the decision: it is made once, by one
// compare-and-set on its row, and everything after it only carries the
// decision out. An aborted attempt is finished once every branch has
// acknowledged the abort; until then it stays aborted and unfinished.
type State string

// The states of an attempt.
const (
	Preparing  State = "preparing"
	Committing State = "committing"
	Committed  State = "committed"
	Aborted    State = "aborted"
	Heuristic  State = "heuristic"
)

// States lists every state, in the order in which they are reached.
func States() []State {
	return []State{Preparing, Committing, Committed, Aborted, Heuristic}
}

// Valid tells whether s is one of the states.
func (s State) Valid() bool {
	switch s {
	case Preparing, Committing, Committed, Aborted, Heuristic:
		return true
	}
	return false
}

// Decided tells whether the one decision has been made.
func (s State) Decided() bool { return s != Preparing && s.Valid() }

// Event is something that happened to an attempt as a whole.
type Event string

// The events that move an attempt.
const (
	AllPrepared     Event = "all_prepared"     // every branch voted yes, before the deadline
	BranchRefused   Event = "branch_refused"   // a branch voted no
	BranchUnknown   Event = "branch_unknown"   // a vote did not arrive
	DeadlinePassed  Event = "deadline_passed"  // by the clock of the store's database
	LeaseLapsed     Event = "lease_lapsed"     // the owner is gone: presumed abort
	AllAcknowledged Event = "all_acknowledged" // every branch carried the decision out
	BranchLost      Event = "branch_lost"      // a branch cannot be made to follow the decision
)

// Events lists every event.
func Events() []Event {
	return []Event{AllPrepared, BranchRefused, BranchUnknown, DeadlinePassed, LeaseLapsed, AllAcknowledged, BranchLost}
}

// Next is the transition function: the state after e, and whether e means
// anything in s at all. An event that does not is ignored (ok is false and
// the state stays), which is what makes late and repeated events harmless.
func Next(s State, e Event) (next State, ok bool) {
	switch s {
	case Preparing:
		return nextPreparing(e)
	case Committing:
		switch e {
		case AllAcknowledged:
			return Committed, true
		case BranchLost:
			return Heuristic, true
		}
	case Aborted:
		switch e {
		case AllAcknowledged:
			return Aborted, true
		case BranchLost:
			return Heuristic, true
		}
	}
	return s, false
}

func nextPreparing(e Event) (State, bool) {
	switch e {
	case AllPrepared:
		return Committing, true
	case BranchRefused, BranchUnknown, DeadlinePassed, LeaseLapsed:
		return Aborted, true
	}
	return Preparing, false
}

// Vote is what a branch's answer to prepare means for the attempt.
type Vote int

// The votes, from the one that lets an attempt go on to the one that tells
// least. An answer is always exactly one of them.
const (
	// Yes: the branch has prepared and will commit if told to.
	Yes Vote = iota
	// No is a definite refusal: it becomes the outcome of the request.
	No
	// Again is a refusal that a new attempt may not meet: what the work was
	// planned from has changed since, or a row was locked.
	Again
	// Unsure: the answer did not arrive, or says nothing about the request.
	Unsure
)

// VoteOf reads a branch's answer. Only refusals that speak about the request
// itself count as No: anything unexpected is Unsure, because binding an
// Idempotency-Key to an accident would make the accident permanent.
func VoteOf(err error) Vote {
	if err == nil {
		return Yes
	}
	switch {
	case fault.KindOf(err).Retry() == fault.Anew:
		return Again
	case fault.Decides(err):
		return No
	}
	return Unsure
}

// Tally reduces the answers of all branches to the event they amount to and
// the answer that decided it. A No outweighs the rest: whatever the other
// branches say, the request cannot be met as it stands. Unsure outweighs
// Again, for a new attempt must not be made while an old branch may be alive
// and out of reach.
func Tally(answers []error) (Event, error) {
	var again, unsure error
	for _, err := range answers {
		switch VoteOf(err) {
		case No:
			return BranchRefused, err
		case Unsure:
			unsure = first(unsure, err)
		case Again:
			again = first(again, err)
		}
	}
	switch {
	case unsure != nil:
		return BranchUnknown, unsure
	case again != nil:
		return BranchRefused, again
	}
	return AllPrepared, nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
