// Package coordinator drives distributed transactions: it prepares a change
// in the databases of several services, makes one durable decision, and
// carries it out whatever happens meanwhile. The rules are in README.md;
// Store says what the database must promise for them.
package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
)

// Dependencies are what the service works with.
type Dependencies struct {
	Store        Store
	Participants map[string]Participant // by branch name
	Quotes       Quoter
	Orders       OrderReader
	Sagas        *saga.Engine // started and stopped by whoever made it
	Clock        func() time.Time
	NewID        func() (string, error) // ids of orders: UUIDv7
	Metrics      *Metrics
	Log          *slog.Logger
}

// Service places and cancels orders, each as a two-phase commit, and begins
// sagas.
type Service struct {
	Dependencies
	settings Settings
	leases   *leases
	finisher *finisher
	turns    *turns
	waiting  chan struct{} // holds one for each request that waits for another with its key

	stopping  sync.Once
	stopLoops context.CancelFunc
	recovery  sync.WaitGroup
	renewal   sync.WaitGroup
	stopRenew context.CancelFunc
}

// New makes a service. Start must be called for attempts to be closed, leases
// to be renewed and lapsed ones to be taken over.
func New(d Dependencies, s Settings) (*Service, error) {
	if err := s.Validate(); err != nil {
		return nil, fault.Wrap("check the coordinator's settings", err)
	}
	held := newLeases()
	return &Service{
		Dependencies: d, settings: s, leases: held, finisher: newFinisher(d, s, held),
		turns: newTurns(s.MaxInFlight, s.MaxPerBook, s.MaxQueued), waiting: make(chan struct{}, s.MaxQueued),
	}, nil
}

// Start begins the background work.
func (s *Service) Start(context.Context) error {
	recovery, stopRecovery := context.WithCancel(context.Background())
	renewal, stopRenewal := context.WithCancel(context.Background())
	s.stopLoops, s.stopRenew = stopRecovery, stopRenewal
	go s.finisher.record()
	s.recovery.Go(func() { s.recoverLapsed(recovery) })
	s.renewal.Go(func() { s.renew(renewal) })
	return nil
}

// Stop takes nothing over any more, waits until ctx ends for what is in hand,
// and leaves the rest to the other coordinators. A request that is still
// running is answered, but its attempt is left to them too.
func (s *Service) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.stopLoops()
		s.recovery.Wait()
		s.finisher.stop(ctx)
		s.stopRenew()
		s.renewal.Wait()
	})
	return nil
}

// Transaction returns one attempt for operators.
func (s *Service) Transaction(ctx context.Context, gid string) (Transaction, error) {
	return s.Store.Transaction(ctx, gid)
}

// Transactions lists attempts for operators, newest first.
func (s *Service) Transactions(ctx context.Context, f Filter) ([]Transaction, error) {
	if f.State != "" && !f.State.Valid() {
		return nil, fault.Invalid(problem("state", "invalid", "one of %v", States()))
	}
	return s.Store.Transactions(ctx, f)
}
