package twophase

import (
	"context"
	"sync"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// finisher owns every attempt from its decision to its end. It works in the
// background, so that neither a client's disconnect nor a request's deadline stops
// an attempt between two branches. Requests and recovery both use it, and a
// stopping engine waits for it.
type finisher struct {
	Dependencies
	settings Settings
	leases   *leases

	alive    context.Context // ends when the service gives up on what is left
	giveUp   context.CancelFunc
	gate     sync.Mutex // guards closed, and driving against it
	closed   bool       // no attempt is accepted any more
	driving  sync.WaitGroup
	finished chan Finished
	nothing  chan struct{} // closed when nothing will be sent to finished any more
	recorded chan struct{} // closed when the recorder has ended
}

// run is one attempt on its way through the finisher.
type run struct {
	decided chan struct{} // closed when the decision is known, or given up
	// rows ends when the branch holder, which locks the rows that others queue for,
	// has acknowledged. over ends when every branch has, or when the engine stops.
	holder           string
	rows, over       context.Context
	rowsFree, isOver context.CancelFunc

	// Readable once decided is closed.
	state State // Preparing means that the decision is not known
	bound bool  // an outcome is stored with it

	// Readable once over has ended.
	acknowledged bool
	lost         bool
}

func newFinisher(d Dependencies, s Settings, l *leases) *finisher {
	alive, giveUp := context.WithCancel(context.Background())
	return &finisher{
		Dependencies: d, settings: s, leases: l,
		alive: alive, giveUp: giveUp,
		finished: make(chan Finished, 1024), nothing: make(chan struct{}), recorded: make(chan struct{}),
	}
}

func newRun(holder string) *run {
	r := &run{holder: holder, state: Preparing, decided: make(chan struct{})}
	r.over, r.isOver = context.WithCancel(context.Background())
	r.rows, r.rowsFree = context.WithCancel(r.over)
	return r
}

// decide makes a decision about an attempt and carries it out.
func (f *finisher) decide(ctx context.Context, tx Transaction, holder string, d Decision) *run {
	return f.start(ctx, tx, newRun(holder), func(ctx context.Context, r *run) bool {
		defer close(r.decided)
		f.storeDecision(ctx, tx, d, r)
		switch {
		case r.state == Aborted && d.Unsent:
		case r.state == Committed, r.state == Heuristic:
			// Another coordinator took the attempt over and ended it meanwhile.
		default:
			return r.state.Decided()
		}
		f.leases.drop(tx.GID)
		r.acknowledged, r.lost = true, r.state == Heuristic
		return false
	})
}

// finish carries out a decision that stands already.
func (f *finisher) finish(ctx context.Context, tx Transaction) *run {
	return f.start(ctx, tx, newRun(""), func(_ context.Context, r *run) bool {
		defer close(r.decided)
		r.state = tx.State
		return true
	})
}

// start runs decide and, when that returns true, carryOut. Their context has the
// values of the request's (its id) but does not end with it.
func (f *finisher) start(ctx context.Context, tx Transaction, r *run, decide func(context.Context, *run) bool) *run {
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.closed {
		close(r.decided)
		r.isOver()
		return r
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(f.alive, cancel)
	f.driving.Go(func() {
		defer cancel()
		defer release()
		defer r.isOver()
		if decide(ctx, r) {
			f.carryOut(ctx, tx, r)
		}
	})
	return r
}

// storeDecision calls the store until the decision is known. Each try has a
// deadline, because a leader that lost its power never answers. That cancels no
// statement that waits for a standby: the connection is closed on this side alone
// (platform/pg), PostgreSQL goes on waiting, and the next try, a write, is answered
// only once the standbys have what it finds.
func (f *finisher) storeDecision(ctx context.Context, tx Transaction, d Decision, r *run) {
	timer := f.Metrics.phase("decide")
	for tries := 1; ; tries++ {
		state, bound, err := f.decideOnce(ctx, tx.GID, d)
		f.leases.progress(tx.GID)
		if err == nil {
			r.state, r.bound = state, bound
			timer()
			return
		}
		if fault.KindOf(err) == fault.TransactionNotFound {
			f.Log.ErrorContext(ctx, "transaction row is gone", "gid", tx.GID)
			f.leases.drop(tx.GID)
			return
		}
		f.Log.WarnContext(ctx, "decision not known yet", "gid", tx.GID, "want", d.State, "tries", tries, "error", err)
		if !wait.For(ctx, retry.Spread(tries)) {
			return
		}
	}
}

func (f *finisher) decideOnce(ctx context.Context, gid string, d Decision) (State, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, f.settings.StoreTimeout)
	defer cancel()
	return f.Store.Decide(ctx, gid, f.settings.Owner, d)
}

// stop waits for the attempts in hand until ctx ends, then releases the leases of
// the rest, so that others take them over at once.
func (f *finisher) stop(ctx context.Context) {
	over := context.AfterFunc(ctx, f.giveUp)
	f.gate.Lock()
	f.closed = true
	f.gate.Unlock()
	f.driving.Wait()
	close(f.nothing)
	<-f.recorded
	over()
	f.giveUp()
	if left := f.leases.all(); len(left) > 0 {
		f.Log.WarnContext(ctx, "leaving transactions to the other coordinators", "count", len(left))
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.settings.Lease)
		defer cancel()
		if err := f.Store.Release(release, f.settings.Owner, left); err != nil {
			f.Log.WarnContext(ctx, "leases not released: they lapse by themselves", "error", err)
		}
	}
}
