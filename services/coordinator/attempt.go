package coordinator

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
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
func (s *Service) run(ctx context.Context, c Claim, wants []want, p plan) (Result, error) {
	result, err := s.inTurn(ctx, &request{Claim: c, wants: wants, plan: p})
	answer := "done"
	if err != nil {
		answer = fault.KindOf(err).Code()
	}
	s.Metrics.answers.WithLabelValues(string(c.Kind), answer).Inc()
	return result, err
}

// request is one on its way to its outcome.
type request struct {
	Claim
	wants   []want
	plan    plan
	arrived time.Time
	turn    *turn // nil: it has none
	last    *run  // of its latest attempt
}

// inTurn makes attempts while the request has a turn. Without one it looks what
// stands under its key before it waits for one: so neither a repeat nor a request
// that waits for another with its key is in anybody's way. Where there is room,
// the claim is that look.
func (s *Service) inTurn(ctx context.Context, r *request) (Result, error) {
	r.arrived, r.turn = time.Now(), s.turns.atOnce(r.wants)
	defer r.leave()
	mine := true
	for n, tries := 1, 0; ; {
		if r.turn == nil {
			earlier, next, err := s.look(ctx, r.Claim, n, !mine)
			if earlier != nil {
				return earlier.replay()
			}
			if err == nil {
				n, err = next, s.queue(ctx, r)
			}
			if err != nil {
				return Result{}, err
			}
		}
		var tx Transaction
		var err error
		if tx, mine, err = s.claim(ctx, r.Claim, n); err != nil {
			return Result{}, err
		}
		if !mine {
			r.leave()
			continue
		}
		tries++
		result, again, err := s.attempt(ctx, tx, r)
		if !again || tries == s.settings.MaxAttempts || !worthAnother(ctx) || !pause(ctx, backoff(tries)) {
			return result, retryable(err)
		}
		n = tx.Attempt + 1
	}
}

// queue waits for a turn. A request that is answered there, because the copies
// are gone, goes on with that as its plan, and without a turn: it only has to be
// bound to the key.
func (s *Service) queue(ctx context.Context, r *request) (err error) {
	waited := s.Metrics.phase("queue")
	r.turn, err = s.turns.take(ctx, r.wants, r.arrived)
	waited()
	if fault.KindOf(err) != kinds.OutOfStock {
		return err
	}
	refusal := err
	r.turn, r.plan = &turn{}, func(context.Context, Transaction) (work, error) { return work{}, refusal }
	return nil
}

// leave gives the turn back, as soon as the branches of the latest attempt are
// known to be finished.
func (r *request) leave() {
	if r.turn == nil {
		return
	}
	held := r.turn
	r.turn = nil
	if r.last == nil || r.last.over.Err() != nil {
		held.leave()
		return
	}
	held.abandon()
	context.AfterFunc(r.last.rows, held.leaveBooks)
	context.AfterFunc(r.last.over, held.leave)
}

// replay answers with the outcome that stands.
func (l Latest) replay() (Result, error) {
	result, err := l.Outcome.answer(l.Payload)
	result.Replayed = true
	return result, err
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
func (s *Service) attempt(ctx context.Context, tx Transaction, r *request) (result Result, again bool, err error) {
	handed := false
	defer func() {
		if !handed {
			s.leases.drop(tx.GID)
		}
	}()
	w, event, unsent, cause := s.vote(ctx, tx, r.plan)
	handed = true
	if next, _ := Next(Preparing, event); next == Committing {
		result, err = s.commit(ctx, tx, r, w.outcome)
		return result, false, err
	}
	again, err = s.abort(ctx, tx, r, unsent, cause)
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
	prepared, asked := s.Metrics.phase("prepare"), time.Now()
	event, cause = Tally(s.prepare(ctx, tx, w))
	prepared()
	if fault.KindOf(cause) == kinds.OutOfStock {
		s.turns.soldOut(fault.As(cause), asked)
	}
	return w, event, false, cause
}

// commit decides to commit and answers once every branch has. The books' rows are
// others' as soon as their branch has.
func (s *Service) commit(ctx context.Context, tx Transaction, of *request, o *Outcome) (Result, error) {
	r := s.finisher.decide(ctx, tx, Decision{State: Committing, Outcome: o})
	of.last = r
	context.AfterFunc(r.rows, of.turn.leaveBooks) // whatever becomes of the other branch
	if !until(ctx, r.over.Done()) {
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
