package coordinator

import (
	"context"
	"math/bits"
	"sync"

	"bookstore/services/platform/fault"
)

// carryOut tells every branch the decision until each has acknowledged, and
// hands the attempt to the recorder.
func (f *finisher) carryOut(ctx context.Context, tx Transaction, r *run) {
	timer := f.metrics.phase(string(r.state))
	errs := make([]error, len(tx.Branches))
	var branches sync.WaitGroup
	for i, name := range tx.Branches {
		branches.Go(func() {
			errs[i] = f.tell(ctx, tx, name, r.state)
			if name == BranchBooks && errs[i] == nil {
				r.rowsFree()
			}
		})
	}
	branches.Wait()
	done, ok := f.result(ctx, tx, r.state, errs)
	if !ok {
		return
	}
	timer()
	r.acknowledged, r.lost = true, done.State == Heuristic
	f.enqueue(done)
}

// result sums up what the branches said; false means that some never did.
func (f *finisher) result(ctx context.Context, tx Transaction, state State, errs []error) (Finished, bool) {
	event, notes := AllAcknowledged, Notes{}
	followed := Committed
	if state == Aborted {
		followed = Aborted
	}
	for i, err := range errs {
		name := tx.Branches[i]
		switch {
		case err == nil:
			notes[name] = Note{State: string(followed)}
		case fault.KindOf(err) == fault.Lost:
			event = BranchLost
			notes[name] = Note{State: strayed(err), LastError: fault.As(err).Message}
			f.metrics.lost.Inc()
			f.log.ErrorContext(ctx, "heuristic outcome: a branch did not follow the decision", "gid", tx.GID,
				"branch", name, "decision", state, "kind", tx.Kind, "order", tx.Payload.OrderID, "error", err)
		default:
			return Finished{}, false
		}
	}
	if event == AllAcknowledged {
		notes = nil
	}
	next, ok := Next(state, event)
	return Finished{GID: tx.GID, State: next, Notes: notes}, ok
}

// strayed is what became of a branch that did not follow the decision, as it
// says itself.
func strayed(err error) string {
	state, _ := fault.As(err).Details["branchState"].(string) // none: lost
	if State(state) == Committed || State(state) == Aborted {
		return state
	}
	return branchLost
}

// tell asks one branch until it acknowledges; an error is fault.Lost, or the
// last one before the service gave up.
func (f *finisher) tell(ctx context.Context, tx Transaction, branch string, state State) error {
	m := tx.message(branch)
	for tries := 1; ; tries++ {
		err := f.tellOnce(ctx, m, state)
		if !fault.Unknown(err) {
			f.leases.progress(tx.GID)
		}
		if err == nil || fault.KindOf(err) == fault.Lost {
			return err
		}
		f.log.WarnContext(ctx, "branch has not acknowledged", "gid", tx.GID, "branch", branch, "decision", state, "tries", tries, "error", err)
		f.annotate(ctx, tx.GID, branch, tries, err)
		if !pause(ctx, backoff(tries)) {
			return err
		}
	}
}

func (f *finisher) tellOnce(ctx context.Context, m Message, state State) error {
	participant, ok := f.participants[m.Branch]
	if !ok {
		return fault.Newf(fault.Internal, "no participant is called %q", m.Branch)
	}
	ctx, cancel := context.WithTimeout(ctx, f.settings.CallTimeout)
	defer cancel()
	if state == Committing {
		return participant.Commit(ctx, m)
	}
	return participant.Abort(ctx, m)
}

// annotate shows operators what a branch is stuck on: at the fourth try, the
// eighth, the sixteenth.
func (f *finisher) annotate(ctx context.Context, gid, branch string, tries int, cause error) {
	if tries < 4 || bits.OnesCount(uint(tries)) != 1 {
		return
	}
	note := Notes{branch: {LastError: string(fault.KindOf(cause))}}
	ctx, cancel := context.WithTimeout(ctx, f.settings.StoreTimeout)
	defer cancel()
	if err := f.store.Annotate(ctx, gid, note); err != nil {
		f.log.WarnContext(ctx, "note not written", "gid", gid, "error", err)
	}
}

func (t Transaction) message(branch string) Message {
	return Message{GID: t.GID, Branch: branch, Branches: t.Branches, Deadline: t.Deadline}
}
