// Package twophase is the coordinator of distributed transactions: it has a
// change prepared in several databases, makes one durable decision, and carries
// the decision out whatever happens meanwhile. It knows participants, keys and
// rows of its own table, and nothing of what a transaction is about: use cases
// say that with a Request. The rules are in ../PROTOCOL.md; Store says what the
// database must promise for them.
package twophase

import (
	"context"
	"errors"
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

// Stop ends take-overs and waits for the attempts in hand until ctx ends. It
// releases the leases of the rest, so that other coordinators take them over at
// once. A request that is still running is answered; its attempt is released too.
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

// readTries is how often a read is tried.
const readTries = 3

// Read makes a read that a plan needs, and repeats it up to readTries times while
// no answer arrives. CallTimeout bounds each try.
func (e *Engine) Read(ctx context.Context, read func(context.Context) error) error {
	return e.retryCall(ctx, readTries, read)
}

// retry is the pause before a call is repeated.
var retry = wait.Backoff{First: 40 * time.Millisecond, Most: 500 * time.Millisecond}

// Settings are the times and limits of the protocol (../PROTOCOL.md).
type Settings struct {
	Owner          string        // this instance, as rows name it
	AttemptTimeout time.Duration // from claim to decision
	MaxAttempts    int           // of one request, when what it was planned from changes or rows are locked
	CallTimeout    time.Duration // of one call to a participant
	StoreTimeout   time.Duration // of one try of a call to the store that no request waits for
	PollEvery      time.Duration // of a request that waits for another under its key
	Lease          time.Duration // how long an instance may be silent
	RenewEvery     time.Duration
	Stall          time.Duration // without progress, after which a lease is not renewed any more
	TakeOverEvery  time.Duration
	TakeOverBatch  int
	TakeOverLimit  int // attempts in hand at which no more are taken over
	MaxInFlight    int // requests worked on at once; the others queue
	MaxPerResource int // of those, about one resource: one that holds its row, and the next ones
	MaxQueued      int // requests that wait in one queue, or for others with their keys

	Retention time.Duration // how long ended attempts are kept (txnpg/prune.go)
}

// doubtLimit is how long after the death of a coordinator its attempts may
// stay undecided or their branches prepared.
const doubtLimit = 3 * time.Second

// How long what ended must stay on record at least.
const (
	// keyBinding is how long a key belongs to its first outcome.
	keyBinding = 24 * time.Hour
	// markersKept is how long participants keep the markers of what they
	// committed (participant.BranchMarkersKept). Attempts stay longer by markersLag, in
	// which participants must have got round to it.
	markersKept = 30 * 24 * time.Hour
	markersLag  = 3 * 24 * time.Hour
)

// DefaultSettings are those of the design.
func DefaultSettings(owner string) Settings {
	return Settings{
		Owner:          owner,
		AttemptTimeout: 3 * time.Second,
		MaxAttempts:    3,
		CallTimeout:    1500 * time.Millisecond,
		StoreTimeout:   5 * time.Second,
		PollEvery:      30 * time.Millisecond,
		Lease:          time.Second,
		RenewEvery:     300 * time.Millisecond,
		Stall:          4 * time.Second,
		TakeOverEvery:  500 * time.Millisecond,
		TakeOverBatch:  32,
		TakeOverLimit:  256,
		MaxInFlight:    32,
		MaxPerResource: 4,
		MaxQueued:      512,
		Retention:      35 * 24 * time.Hour,
	}
}

// Validate reports every setting that breaks a rule of the protocol.
func (s Settings) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(s.Owner != "", "the instance needs a name")
	check(s.MaxAttempts >= 1, "at least one attempt, not %d", s.MaxAttempts)
	check(s.PollEvery > 0 && s.RenewEvery > 0 && s.TakeOverEvery > 0, "intervals are positive")
	check(3*s.RenewEvery <= s.Lease, "a lease of %v does not survive two missed renewals every %v", s.Lease, s.RenewEvery)
	check(s.CallTimeout < s.AttemptTimeout, "a call of %v leaves no time in an attempt of %v", s.CallTimeout, s.AttemptTimeout)
	check(s.StoreTimeout > 0, "a call to the store needs time, not %v", s.StoreTimeout)
	check(s.Stall > s.AttemptTimeout && s.Stall > s.CallTimeout,
		"an attempt of %v with calls of %v makes progress too rarely for a stall after %v", s.AttemptTimeout, s.CallTimeout, s.Stall)
	check(s.Lease+s.TakeOverEvery < doubtLimit, "lease %v and take-over every %v leave no time to finish within %v", s.Lease, s.TakeOverEvery, doubtLimit)
	check(s.TakeOverBatch >= 1 && s.TakeOverLimit >= s.TakeOverBatch, "a batch of %d does not fit a limit of %d", s.TakeOverBatch, s.TakeOverLimit)
	check(s.MaxInFlight >= 1 && s.MaxPerResource >= 1, "at least one request at once, not %d, %d", s.MaxInFlight, s.MaxPerResource)
	check(s.MaxQueued >= 1, "a queue of %d holds nobody", s.MaxQueued)
	check(s.Retention > keyBinding && s.Retention >= markersKept+markersLag,
		"attempts kept for %v may be gone before the markers of their branches (%v)", s.Retention, markersKept+markersLag)
	return errors.Join(problems...)
}
