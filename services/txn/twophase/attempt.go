package twophase

import (
	"context"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/requestinfo"
	"bookstore/services/platform/wait"
)

// attempt drives one attempt to its decision; again means that another one
// may come to something else. On every path, panics included, either the
// finisher has the attempt in hand or its lease lapses.
func (e *Engine) attempt(ctx context.Context, tx Transaction, r *running) (result Result, again bool, err error) {
	requestinfo.SetGID(ctx, tx.GID)
	handed := false
	defer func() {
		if !handed {
			e.leases.drop(tx.GID)
		}
	}()
	w, event, unsent, cause := e.vote(ctx, tx, r)
	handed = true
	if next, _ := Next(Preparing, event); next == Committing {
		result, err = e.commit(ctx, tx, r, w.Outcome)
		return result, false, err
	}
	again, err = e.abort(ctx, tx, r, unsent, cause)
	return Result{}, again, err
}

// vote collects the votes before the attempt's deadline, and the error that
// stands for them unless all are yes; unsent tells that no branch was called.
func (e *Engine) vote(ctx context.Context, tx Transaction, r *running) (w Work, event Event, unsent bool, cause error) {
	ctx, cancel := context.WithTimeout(ctx, e.settings.AttemptTimeout)
	defer cancel()
	planned := e.Metrics.phase("plan")
	w, err := r.Plan(ctx, tx)
	planned()
	if err != nil {
		event, cause = Tally([]error{err})
		return Work{}, event, true, cause
	}
	prepared, began := e.Metrics.phase("prepare"), time.Now()
	event, cause = Tally(e.prepare(ctx, tx, w))
	prepared()
	if r.Shortages != nil && VoteOf(cause) == No {
		e.queues.short(r.Shortages(fault.As(cause)), began)
	}
	return w, event, false, cause
}

// prepareTries is how often one branch's prepare is tried while no answer arrives.
// A repeat is safe: the gid is the same.
const prepareTries = 3

// lockWait is what a prepare that meets a locked row takes at most: the
// participants' lock_timeout of 500 ms, and the round trip.
const lockWait = 800 * time.Millisecond

// prepare collects the branches' votes, in parallel or in order. In order, it stops
// at the first that is not yes and returns that one alone.
func (e *Engine) prepare(ctx context.Context, tx Transaction, w Work) []error {
	if w.Ordered {
		for _, branch := range tx.Branches {
			if err := e.prepareBranch(ctx, tx, branch, w.Payloads[branch]); err != nil {
				return []error{err}
			}
		}
		return nil
	}
	votes := make([]error, len(tx.Branches))
	var branches sync.WaitGroup
	for i, branch := range tx.Branches {
		branches.Go(func() { votes[i] = e.prepareBranch(ctx, tx, branch, w.Payloads[branch]) })
	}
	branches.Wait()
	return votes
}

// prepareBranch collects one branch's vote. It repeats the call when no answer
// arrives, for example because the participant's instance is being replaced, and
// when rows were locked: a branch that refused holds no locks, so waiting here
// blocks no other request, and no new attempt is needed.
func (e *Engine) prepareBranch(ctx context.Context, tx Transaction, branch string, payload any) error {
	participant, ok := e.Participants[branch]
	if !ok {
		return fault.Newf(fault.Internal, "no participant is called %q", branch)
	}
	m := tx.message(branch)
	for tries := 1; ; tries++ {
		err := e.retryCall(ctx, prepareTries, func(ctx context.Context) error {
			return participant.Prepare(ctx, m, payload)
		})
		if fault.KindOf(err) != fault.Contended || !worthAnother(ctx) || !wait.For(ctx, retry.Spread(tries)) {
			return err
		}
		e.Metrics.contended.WithLabelValues(branch).Inc()
	}
}

// worthAnother tells whether there is time for one more call that waits for a lock.
func worthAnother(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > lockWait)
}

// retryCall repeats a repeatable call while no answer arrives, up to most times.
func (e *Engine) retryCall(ctx context.Context, most int, call func(context.Context) error) error {
	for tries := 1; ; tries++ {
		err := e.callOnce(ctx, call)
		if tries == most || ctx.Err() != nil || !mayHaveBroken(err) || !wait.For(ctx, retry.Spread(tries)) {
			return err
		}
		e.Log.DebugContext(ctx, "repeating a call", "tries", tries, "error", err)
	}
}

func (e *Engine) callOnce(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.settings.CallTimeout)
	defer cancel()
	return call(ctx)
}

func mayHaveBroken(err error) bool {
	if err == nil {
		return false
	}
	kind := fault.KindOf(err)
	return kind == fault.Unavailable || kind == fault.DeadlineExceeded || kind == fault.OutcomeUnknown
}

// commit decides to commit, and answers once every branch has acknowledged. The
// resources' places are free as soon as the holder has.
func (e *Engine) commit(ctx context.Context, tx Transaction, of *running, o *Outcome) (Result, error) {
	r := e.finisher.decide(ctx, tx, of.Holder, Decision{State: Committing, Outcome: o})
	of.last = r
	context.AfterFunc(r.rows, of.place.leaveResources) // without waiting for the other branches
	if !until(ctx, r.over.Done()) {
		return Result{}, outcomeUnknown("the decision or an acknowledgement is still under way")
	}
	e.Metrics.attempts.WithLabelValues(string(tx.Kind), string(r.state)).Inc()
	switch {
	case r.state == Aborted:
		return Result{}, fault.New(fault.DeadlineExceeded, "the transaction took too long and was aborted: nothing has changed")
	case r.lost || !r.acknowledged:
		return Result{}, outcomeUnknown("not every part of the transaction has been confirmed")
	}
	return Result{Outcome: *o, Payload: tx.Payload}, nil
}

func outcomeUnknown(why string) error {
	return &fault.Error{
		Kind: fault.OutcomeUnknown, RetryAfter: time.Second,
		Message: why + "; ask again with the same Idempotency-Key",
	}
}

// abortPatience is how long a request waits for its branches to release their
// locks before it gives up on another attempt.
const abortPatience = time.Second

// abort decides to abort. It returns the request's answer, and whether a new attempt
// may follow: none may while a branch of this one may still be prepared.
func (e *Engine) abort(ctx context.Context, tx Transaction, of *running, unsent bool, cause error) (again bool, answer error) {
	d := Decision{State: Aborted, Unsent: unsent}
	vote := VoteOf(cause)
	if vote == No {
		d.Outcome = Refusal(cause)
	}
	r := e.finisher.decide(ctx, tx, of.Holder, d)
	of.last = r
	if !until(ctx, r.decided) {
		return false, unfinishedAbort(cause)
	}
	e.Metrics.attempts.WithLabelValues(string(tx.Kind), string(r.state)).Inc()
	if r.state != Aborted || (vote == No && !r.bound) {
		return false, unfinishedAbort(cause)
	}
	if vote == No {
		return false, cause
	}
	if vote == Unsure {
		e.Log.WarnContext(ctx, "attempt aborted: a branch did not answer", "gid", tx.GID, "kind", tx.Kind, "error", cause)
		answer = unanswered(cause)
	} else {
		answer = cause
	}
	patience, cancel := context.WithTimeout(ctx, abortPatience)
	defer cancel()
	again = (vote == Again || mayHaveBroken(cause)) && until(patience, r.over.Done()) && r.acknowledged
	return again, answer
}

// unfinishedAbort is the answer when the abort is not known to be stored. The
// refusal must not be shown: it is not bound to the key, so a repeat may have
// another outcome.
func unfinishedAbort(cause error) error {
	return &fault.Error{
		Kind: fault.Unavailable, RetryAfter: time.Second, Err: cause, Op: "abort an attempt",
		Message: "nothing has changed; ask again with the same Idempotency-Key",
	}
}

// unanswered is the answer when a branch did not answer: nothing has changed, and
// a new attempt may be made at once.
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
		Message: "a part of the service did not answer: nothing has changed, ask again with the same Idempotency-Key",
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
