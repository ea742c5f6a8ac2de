package coordinator

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
)

// abortPatience is how long a request waits for its branches to let go of
// their locks before it makes another attempt.
const abortPatience = time.Second

// abort decides to abort and returns the answer that this means for the
// request, and whether a new attempt may follow: not while a branch of this
// one may be alive.
func (s *Service) abort(ctx context.Context, tx Transaction, of *request, unsent bool, cause error) (again bool, answer error) {
	d := Decision{State: Aborted, Unsent: unsent}
	vote := VoteOf(cause)
	if vote == No {
		d.Outcome = refused(cause)
	}
	r := s.finisher.decide(ctx, tx, d)
	of.last = r
	if !until(ctx, r.decided) {
		return false, unfinishedAbort(cause)
	}
	s.Metrics.attempts.WithLabelValues(string(tx.Kind), string(r.state)).Inc()
	if r.state != Aborted || (vote == No && !r.bound) {
		return false, unfinishedAbort(cause)
	}
	if vote == No {
		return false, cause
	}
	if vote == Unsure {
		s.Log.WarnContext(ctx, "attempt aborted: a branch could not be asked", "gid", tx.GID, "kind", tx.Kind, "error", cause)
		answer = unanswered(cause)
	} else {
		answer = cause
	}
	patience, cancel := context.WithTimeout(ctx, abortPatience)
	defer cancel()
	again = (vote == Again || mayHaveBroken(cause)) && until(patience, r.over.Done()) && r.acknowledged
	return again, answer
}

// unfinishedAbort is the answer when not even the abort is settled. The
// refusal must not be shown: it is not bound to the key, so the next request
// may come to something else.
func unfinishedAbort(cause error) error {
	return &fault.Error{
		Kind: fault.Unavailable, RetryAfter: time.Second, Err: cause, Op: "abort an attempt",
		Message: "nothing has changed; ask again with the same Idempotency-Key",
	}
}

// unanswered is the answer when a branch could not be asked: nothing has
// changed, and a new attempt may be made at once.
func unanswered(cause error) error {
	kind := fault.Unavailable
	switch fault.KindOf(cause) {
	case fault.DeadlineExceeded:
		kind = fault.DeadlineExceeded
	case fault.Overloaded, fault.CircuitOpen:
		kind = fault.KindOf(cause)
	}
	return &fault.Error{
		Kind: kind, RetryAfter: time.Second, Err: cause, Op: "prepare the branches",
		Message: "a part of the shop did not answer: nothing has changed, ask again with the same Idempotency-Key",
	}
}
