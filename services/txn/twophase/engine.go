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
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// Dependencies are what an engine works with.
type Dependencies struct {
	Store        Store
	Participants map[string]Participant // by branch name
	Metrics      *Metrics
	Log          *slog.Logger
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

// retry is the pause before a call is made again, less a random part.
var retry = wait.Backoff{First: 40 * time.Millisecond, Most: 500 * time.Millisecond}
