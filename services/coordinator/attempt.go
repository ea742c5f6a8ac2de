package coordinator

import (
	"context"
	"time"

	"bookstore/services/kit/fault"
)

// work is what an attempt asks of its branches, and what it comes to if all
// of them can.
type work struct {
	payloads map[string]any // by branch
	// ordered branches are prepared one after the other, as they stand in the
	// transaction; otherwise in parallel.
	ordered bool
	outcome *Outcome
}

// plan works out an attempt's work. Its error is judged like a branch's vote.
type plan func(ctx context.Context, tx Transaction) (work, error)

// run brings a request to its outcome: an earlier one under its key, or that
// of up to MaxAttempts attempts of its own.
func (s *Service) run(ctx context.Context, c Claim, p plan) (Result, error) {
	result, err := s.attempts(ctx, c, p)
	answer := "done"
	if err != nil {
		answer = fault.KindOf(err).Code()
	}
	s.Metrics.answers.WithLabelValues(string(c.Kind), answer).Inc()
	return result, err
}

func (s *Service) attempts(ctx context.Context, c Claim, p plan) (Result, error) {
	for tries := 1; ; tries++ {
		b, err := s.begin(ctx, c)
		if err != nil {
			return Result{}, err
		}
		if b.earlier != nil {
			result, err := b.earlier.Outcome.answer(b.earlier.Payload)
			result.Replayed = true
			return result, err
		}
		result, err := s.attempt(ctx, b.attempt, p)
		if VoteOf(err) != Again || tries == s.settings.MaxAttempts || !worthAnother(ctx) || !pause(ctx, backoff(tries)) {
			return result, retryable(err)
		}
	}
}

// retryable tells the client when to come back after a refusal that its key
// is not bound to.
func retryable(err error) error {
	if err == nil || VoteOf(err) != Again {
		return err
	}
	f := *fault.As(err)
	if f.Kind == fault.Aborted {
		f.Kind = fault.Contended
	}
	if f.Kind == fault.Contended {
		f.RetryAfter = max(f.RetryAfter, time.Second)
	}
	return &f
}

// attempt drives one attempt to its decision. However it returns, or does
// not, the finisher has the attempt in hand or its lease lapses.
func (s *Service) attempt(ctx context.Context, tx Transaction, p plan) (Result, error) {
	handed := false
	defer func() {
		if !handed {
			s.leases.drop(tx.GID)
		}
	}()
	w, event, unsent, cause := s.vote(ctx, tx, p)
	handed = true
	if next, _ := Next(Preparing, event); next == Committing {
		return s.commit(ctx, tx, w.outcome)
	}
	return Result{}, s.abort(ctx, tx, unsent, cause)
}

// vote collects the votes before the attempt's deadline, and the error that
// speaks for them if they are not all for it; unsent tells that no branch was
// asked.
func (s *Service) vote(ctx context.Context, tx Transaction, p plan) (w work, event Event, unsent bool, cause error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.AttemptTimeout)
	defer cancel()
	planned := s.Metrics.phase("plan")
	w, err := p(ctx, tx)
	planned()
	if err != nil {
		event, cause = Tally([]error{err})
		return work{}, event, true, cause
	}
	prepared := s.Metrics.phase("prepare")
	event, cause = Tally(s.prepare(ctx, tx, w))
	prepared()
	return w, event, false, cause
}

// commit decides to commit and answers once every branch has.
func (s *Service) commit(ctx context.Context, tx Transaction, o *Outcome) (Result, error) {
	r := s.finisher.decide(ctx, tx, Decision{State: Committing, Outcome: o})
	select {
	case <-r.ended:
	case <-ctx.Done():
		return Result{}, outcomeUnknown("the decision or an acknowledgement is still under way")
	}
	s.Metrics.attempts.WithLabelValues(string(tx.Kind), string(r.state)).Inc()
	switch {
	case r.state == Aborted:
		return Result{}, fault.New(fault.DeadlineExceeded, "the transaction took too long and was aborted: nothing has changed")
	case r.lost || !r.acknowledged:
		return Result{}, outcomeUnknown("not every part of the transaction has been confirmed")
	}
	return o.answer(tx.Payload)
}

func outcomeUnknown(why string) error {
	return &fault.Error{
		Kind: fault.OutcomeUnknown, RetryAfter: time.Second,
		Message: why + "; ask again with the same Idempotency-Key",
	}
}

// abort decides to abort and returns the answer that this means for the
// request. Before an attempt that is made again it waits for the branches to
// let go of their locks.
func (s *Service) abort(ctx context.Context, tx Transaction, unsent bool, cause error) error {
	d := Decision{State: Aborted, Unsent: unsent}
	vote := VoteOf(cause)
	if vote == No {
		d.Outcome = refused(cause)
	}
	r := s.finisher.decide(ctx, tx, d)
	stage := r.decided
	if vote == Again {
		stage = r.ended
	}
	select {
	case <-stage:
	case <-ctx.Done():
		return unfinishedAbort(cause)
	}
	s.Metrics.attempts.WithLabelValues(string(tx.Kind), string(r.state)).Inc()
	if r.state != Aborted || (vote == No && !r.bound) {
		return unfinishedAbort(cause)
	}
	if vote == Unsure {
		s.Log.WarnContext(ctx, "attempt aborted: a branch could not be asked", "gid", tx.GID, "kind", tx.Kind, "error", cause)
		return unanswered(cause)
	}
	return cause
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
