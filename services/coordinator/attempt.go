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
func (s *Service) run(ctx context.Context, c Claim, books []int64, p plan) (Result, error) {
	result, err := s.inTurn(ctx, c, books, p)
	answer := "done"
	if err != nil {
		answer = fault.KindOf(err).Code()
	}
	s.Metrics.answers.WithLabelValues(string(c.Kind), answer).Inc()
	return result, err
}

// inTurn makes a request wait until there is room for it.
func (s *Service) inTurn(ctx context.Context, c Claim, books []int64, p plan) (Result, error) {
	waited := s.Metrics.phase("queue")
	give, ok := s.turns.take(ctx, books)
	if !ok {
		return Result{}, &fault.Error{
			Kind: fault.Overloaded, RetryAfter: time.Second,
			Message: "too many orders at once: nothing has changed, ask again with the same Idempotency-Key",
		}
	}
	defer give()
	waited()
	return s.attempts(ctx, c, p)
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
		result, again, err := s.attempt(ctx, b.attempt, p)
		if !again || tries == s.settings.MaxAttempts || !worthAnother(ctx) || !pause(ctx, backoff(tries)) {
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

// attempt drives one attempt to its decision; again means that another one
// may come to something else. However it returns, or does not, the finisher
// has the attempt in hand or its lease lapses.
func (s *Service) attempt(ctx context.Context, tx Transaction, p plan) (result Result, again bool, err error) {
	handed := false
	defer func() {
		if !handed {
			s.leases.drop(tx.GID)
		}
	}()
	w, event, unsent, cause := s.vote(ctx, tx, p)
	handed = true
	if next, _ := Next(Preparing, event); next == Committing {
		result, err = s.commit(ctx, tx, w.outcome)
		return result, false, err
	}
	again, err = s.abort(ctx, tx, unsent, cause)
	return Result{}, again, err
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
	if !until(ctx, r.ended) {
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

// until waits for a stage of a run, and reports false when ctx ends first.
func until(ctx context.Context, stage <-chan struct{}) bool {
	select {
	case <-stage:
		return true
	case <-ctx.Done():
		return false
	}
}
