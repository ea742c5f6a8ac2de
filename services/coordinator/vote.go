package coordinator

import "bookstore/services/platform/fault"

// Vote is what a branch's answer to prepare means for the attempt.
type Vote int

// The votes, from the one that lets an attempt go on to the one that tells
// least. An answer is always exactly one of them.
const (
	// Yes: the branch has prepared and will commit if told to.
	Yes Vote = iota
	// No is a definite refusal: it becomes the outcome of the request.
	No
	// Again is a refusal that a new attempt may not meet: the price moved
	// since the quote, or a row was locked.
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
