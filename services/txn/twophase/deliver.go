package twophase

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// carryOut delivers the decision to every branch until each has acknowledged, and
// gives the attempt to the recorder.
func (f *finisher) carryOut(ctx context.Context, tx Transaction, r *run) {
	timer := f.Metrics.phase(string(r.state))
	errs := make([]error, len(tx.Branches))
	var branches sync.WaitGroup
	for i, name := range tx.Branches {
		branches.Go(func() {
			errs[i] = f.deliver(ctx, tx, name, r.state)
			if name == r.holder && errs[i] == nil {
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

// result sums up the branches' acknowledgements; false if one is missing.
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
			notes[name] = Note{State: heuristicState(err), LastError: fault.As(err).Message}
			f.Metrics.lost.Inc()
			f.Log.ErrorContext(ctx, "heuristic outcome: a branch did not follow the decision", "gid", tx.GID,
				"branch", name, "decision", state, "kind", tx.Kind, "payload", string(tx.Payload), "error", err)
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

// heuristicState is the state that a branch which did not follow the decision reports.
func heuristicState(err error) string {
	state, _ := fault.As(err).Details["branchState"].(string) // none: lost
	if State(state) == Committed || State(state) == Aborted {
		return state
	}
	return branchLost
}

// deliver calls one branch until it acknowledges. Its error is fault.Lost, or the
// last one before the engine stopped.
func (f *finisher) deliver(ctx context.Context, tx Transaction, branch string, state State) error {
	m := tx.message(branch)
	for tries := 1; ; tries++ {
		err := f.deliverOnce(ctx, m, state)
		if !fault.Unknown(err) {
			f.leases.progress(tx.GID)
		}
		if err == nil || fault.KindOf(err) == fault.Lost {
			return err
		}
		f.Log.WarnContext(ctx, "branch has not acknowledged", "gid", tx.GID, "branch", branch, "decision", state, "tries", tries, "error", err)
		f.annotate(ctx, tx.GID, branch, tries, err)
		if !wait.For(ctx, retry.Spread(tries)) {
			return err
		}
	}
}

func (f *finisher) deliverOnce(ctx context.Context, m Message, state State) error {
	participant, ok := f.Participants[m.Branch]
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

// annotate stores for operators why a branch does not acknowledge: at the fourth try,
// the eighth, the sixteenth.
func (f *finisher) annotate(ctx context.Context, gid, branch string, tries int, cause error) {
	if tries < 4 || bits.OnesCount(uint(tries)) != 1 {
		return
	}
	note := Notes{branch: {LastError: string(fault.KindOf(cause))}}
	ctx, cancel := context.WithTimeout(ctx, f.settings.StoreTimeout)
	defer cancel()
	if err := f.Store.Annotate(ctx, gid, note); err != nil {
		f.Log.WarnContext(ctx, "note not written", "gid", gid, "error", err)
	}
}

func (t Transaction) message(branch string) Message {
	return Message{GID: t.GID, Branch: branch, Branches: t.Branches, Deadline: t.Deadline}
}

// gather is how long the recorder collects ended attempts after the first. Only a
// repeat of the request waits for the recorder.
const gather = 20 * time.Millisecond

// record closes attempts in the store, many in one statement. A row that is not
// closed is taken over, and its decision delivered again.
func (f *finisher) record() {
	defer close(f.recorded)
	for {
		select {
		case first := <-f.finished:
			f.recordAll(f.collect(first))
		case <-f.nothing:
			if batch := f.rest(nil); len(batch) > 0 {
				f.recordAll(batch)
			}
			return
		}
	}
}

// collect adds the attempts that end within gather.
func (f *finisher) collect(first Finished) []Finished {
	const most = 256
	batch := []Finished{first}
	over := time.NewTimer(gather)
	defer over.Stop()
	for len(batch) < most {
		select {
		case next := <-f.finished:
			batch = append(batch, next)
		case <-over.C:
			return batch
		case <-f.nothing:
			return f.rest(batch)
		}
	}
	return batch
}

// rest adds the attempts that are left when the finisher has ended.
func (f *finisher) rest(batch []Finished) []Finished {
	for {
		select {
		case next := <-f.finished:
			batch = append(batch, next)
		default:
			return batch
		}
	}
}

func (f *finisher) recordAll(batch []Finished) {
	for tries := 1; ; tries++ {
		err := f.recordOnce(batch)
		if err == nil {
			break
		}
		f.Log.Warn("finished transactions not recorded", "count", len(batch), "tries", tries, "error", err)
		if !wait.For(f.alive, retry.Spread(tries)) {
			return
		}
	}
	for _, done := range batch {
		f.leases.drop(done.GID)
	}
}

func (f *finisher) recordOnce(batch []Finished) error {
	ctx, cancel := context.WithTimeout(f.alive, f.settings.StoreTimeout)
	defer cancel()
	return f.Store.Finish(ctx, batch)
}

// enqueue gives an ended attempt to the recorder without waiting: the request that
// waits for the attempt's answer must not wait for a recorder that cannot write.
// When the queue is full, the row is left to be taken over.
func (f *finisher) enqueue(done Finished) {
	select {
	case f.finished <- done:
	default:
		f.leases.drop(done.GID)
		f.Log.Warn("too many finished transactions to record: leaving one to be taken over", "gid", done.GID)
	}
}
