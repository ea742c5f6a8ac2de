package coordinator

import (
	"context"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// prepareTries is how often one branch is asked to prepare when the answer
// does not arrive. Asking twice is safe: the gid is the same.
const prepareTries = 3

// lockWait is what a prepare that meets a locked row takes at most: the
// participants' lock_timeout of 500 ms, and the way there and back.
const lockWait = 800 * time.Millisecond

// prepare asks the branches for their votes, in parallel or in order. In
// order, the first that does not say yes ends the asking: the votes not
// collected are left out.
func (s *Service) prepare(ctx context.Context, tx Transaction, w work) []error {
	if w.ordered {
		for _, branch := range tx.Branches {
			if err := s.prepareBranch(ctx, tx, branch, w.payloads[branch]); err != nil {
				return []error{err}
			}
		}
		return nil
	}
	votes := make([]error, len(tx.Branches))
	var branches sync.WaitGroup
	for i, branch := range tx.Branches {
		branches.Go(func() { votes[i] = s.prepareBranch(ctx, tx, branch, w.payloads[branch]) })
	}
	branches.Wait()
	return votes
}

// prepareBranch asks one branch. It asks again when the call broke (a
// participant being replaced costs a moment, not the order), and when rows
// were locked: a branch that refused holds nothing, so waiting here is in
// nobody's way, and no new attempt is needed.
func (s *Service) prepareBranch(ctx context.Context, tx Transaction, branch string, payload any) error {
	participant, ok := s.Participants[branch]
	if !ok {
		return fault.Newf(fault.Internal, "no participant is called %q", branch)
	}
	m := tx.message(branch)
	for tries := 1; ; tries++ {
		err := s.askAgain(ctx, prepareTries, func(ctx context.Context) error {
			return participant.Prepare(ctx, m, payload)
		})
		if fault.KindOf(err) != fault.Contended || !worthAnother(ctx) || !pause(ctx, backoff(tries)) {
			return err
		}
		s.Metrics.contended.WithLabelValues(branch).Inc()
	}
}

// worthAnother tells whether there is time to wait for a lock once more and
// still hear the answer.
func worthAnother(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > lockWait)
}

// askAgain repeats a call that may be repeated while its answer is unknown
// for want of a connection.
func (s *Service) askAgain(ctx context.Context, most int, call func(context.Context) error) error {
	for tries := 1; ; tries++ {
		err := s.callOnce(ctx, call)
		if tries == most || ctx.Err() != nil || !mayHaveBroken(err) || !pause(ctx, backoff(tries)) {
			return err
		}
		s.Log.DebugContext(ctx, "asking again", "tries", tries, "error", err)
	}
}

func (s *Service) callOnce(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.CallTimeout)
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
