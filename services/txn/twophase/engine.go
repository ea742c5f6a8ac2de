// Package twophase is the coordinator of distributed transactions: it has a
// change prepared in several databases, makes one durable decision, and carries
// the decision out whatever happens meanwhile. It knows participants, keys and
// rows of its own table, and nothing of what a transaction is about: use cases
// say that with a Request. The rules are in ../PROTOCOL.md; Store says what the
// database must promise for them.
package twophase

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// Dependencies are what an engine works with.
type Dependencies struct {
	Store        Store
	Participants map[string]Participant // by branch name
	Metrics      *Metrics
	Log          *slog.Logger
	// Jitter spreads repetitions: a time from 0 to below most. Nil is a random
	// one; simulations bring one that repeats.
	Jitter func(most time.Duration) time.Duration
}

// Engine brings requests to their outcome, each as a two-phase commit.
type Engine struct {
	Dependencies
	settings Settings
	leases   *leases
	finisher *finisher
	queues   *queues
	waiting  chan struct{} // holds one for each request that waits for another with its key

	stopping  sync.Once
	stopLoops context.CancelFunc
	recovery  sync.WaitGroup
	renewal   sync.WaitGroup
	stopRenew context.CancelFunc
}

// New makes an engine. Start must be called for attempts to be closed, leases
// to be renewed and lapsed ones to be taken over.
func New(d Dependencies, s Settings) (*Engine, error) {
	if err := s.Validate(); err != nil {
		return nil, fault.Wrap("check the settings of transactions", err)
	}
	if d.Jitter == nil {
		d.Jitter = rand.N[time.Duration]
	}
	held := newLeases()
	return &Engine{
		Dependencies: d, settings: s, leases: held, finisher: newFinisher(d, s, held),
		queues: newQueues(s.MaxInFlight, s.MaxPerResource, s.MaxQueued), waiting: make(chan struct{}, s.MaxQueued),
	}, nil
}

// Start begins the background work.
func (e *Engine) Start(context.Context) error {
	recovery, stopRecovery := context.WithCancel(context.Background())
	renewal, stopRenewal := context.WithCancel(context.Background())
	e.stopLoops, e.stopRenew = stopRecovery, stopRenewal
	go e.finisher.record()
	e.recovery.Go(func() { e.recoverLapsed(recovery) })
	e.renewal.Go(func() { e.renew(renewal) })
	return nil
}

// Stop takes nothing over any more, waits until ctx ends for what is in hand,
// and leaves the rest to the other coordinators. A request that is still
// running is answered, but its attempt is left to them too.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopping.Do(func() {
		e.stopLoops()
		e.recovery.Wait()
		e.finisher.stop(ctx)
		e.stopRenew()
		e.renewal.Wait()
	})
	return nil
}

// Transaction returns one attempt for operators, or fault.TransactionNotFound.
func (e *Engine) Transaction(ctx context.Context, gid string) (Transaction, error) {
	return e.Store.Transaction(ctx, gid)
}

// Transactions lists attempts for operators, newest first. An unknown state is
// fault.InvalidField.
func (e *Engine) Transactions(ctx context.Context, f Filter) ([]Transaction, error) {
	if f.State != "" && !f.State.Valid() {
		return nil, fault.Invalid(fault.Field{Field: "state", Code: "invalid", Detail: fmt.Sprintf("one of %v", States())})
	}
	return e.Store.Transactions(ctx, f)
}

// readTries is how often a read is made when its answer does not arrive.
const readTries = 3

// Read makes a read that a plan needs, and repeats it while its answer does not
// arrive. Each try has the time of a call to a participant.
func (e *Engine) Read(ctx context.Context, read func(context.Context) error) error {
	return e.askAgain(ctx, readTries, read)
}

// pause waits for d and reports whether ctx was still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// backoff doubles from 20 ms to half a second, with jitter, so that many who
// wait for the same thing do not come back at once.
func (d Dependencies) backoff(tries int) time.Duration {
	const lowest, highest = 20 * time.Millisecond, 500 * time.Millisecond
	most := highest
	if tries < 5 {
		most = min(highest, lowest<<tries)
	}
	return most/2 + d.Jitter(most/2)
}
