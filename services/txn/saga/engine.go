package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// Options are what an engine works with.
type Options struct {
	Store        Store
	Definitions  []Definition
	Participants map[string]Participant // by the At of steps
	NewID        func() (string, error) // UUIDv7
	Metrics      *Metrics
	Log          *slog.Logger
	Settings     Settings
}

// Engine drives sagas to their ends. Several engines may share a store: a row's
// version lets one of them at a time move it.
type Engine struct {
	Options

	definitions map[string]Definition
	workers     *workers
	writer      *writer
	hold        hold
	clock       atomic.Pointer[reading] // nil until the database's clock has been read

	alive  context.Context // of calls: ends when the engine gives up on what is in hand
	giveUp context.CancelFunc

	loop     sync.WaitGroup
	stopLoop context.CancelFunc
	stopping sync.Once
}

// NewEngine checks the definitions and makes an engine. Start makes it work.
func NewEngine(o Options) (*Engine, error) {
	if err := o.Settings.Validate(); err != nil {
		return nil, fault.Wrap("check the settings of sagas", err)
	}
	e := &Engine{Options: o, definitions: map[string]Definition{}}
	for _, d := range o.Definitions {
		for _, name := range d.Participants() {
			if o.Participants[name] == nil {
				return nil, fault.Newf(fault.Internal, "saga %s: no participant is called %q", d.Name, name)
			}
		}
		e.definitions[d.Name] = d
	}
	e.alive, e.giveUp = context.WithCancel(context.Background())
	e.writer = newWriter(e.alive, o.Store, o.Settings.StoreTimeout)
	e.workers = newWorkers(e.alive, o.Settings, e.drive)
	return e, nil
}

// Start begins to drive what is stored.
func (e *Engine) Start(context.Context) error {
	e.Metrics.held.Set(1)
	ctx, stop := context.WithCancel(context.Background())
	e.stopLoop = stop
	e.writer.start()
	if e.readHold(ctx) {
		e.loop.Go(func() { e.watchHold(ctx) })
	}
	e.loop.Go(func() { e.watchClock(ctx) })
	e.loop.Go(func() { e.claimDue(ctx) })
	e.loop.Go(func() { e.countUnfinished(ctx) })
	return nil
}

// Stop claims no more sagas, waits until ctx ends for the calls in flight, and
// leaves the rest to the other coordinators.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopping.Do(func() {
		e.stopLoop()
		e.loop.Wait()
		over := context.AfterFunc(ctx, e.giveUp)
		defer over()
		e.workers.stop()
		e.writer.stop()
		e.giveUp()
	})
	return nil
}

// claimDue claims sagas that are due: those that waited between two tries, whose
// deadline has passed, that found no room when they were begun, or whose
// coordinator's lease has lapsed. While there are more, it claims again as soon as
// there is room.
func (e *Engine) claimDue(ctx context.Context) {
	failing := false
	for wait.For(ctx, e.Settings.ClaimEvery) {
		more, err := e.claim(ctx)
		for err == nil && more && e.workers.waitForRoom(ctx, e.Settings.ClaimEvery) {
			more, err = e.claim(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "sagas cannot be read; trying again", "error", err)
		}
		failing = err != nil
	}
}

// claim takes what is due, as much of it as there is room for, and tells whether
// there may be more.
func (e *Engine) claim(ctx context.Context) (more bool, err error) {
	if err := e.ensureClock(ctx); err != nil {
		return false, err
	}
	room := e.workers.reserveForClaims(e.Settings.ClaimBatch)
	if room == 0 {
		return true, nil
	}
	claimed, err := e.claimOnce(ctx, room)
	var held []Saga
	for _, s := range claimed {
		if e.heldBack(s) {
			held = append(held, s)
		} else {
			e.workers.drive(ctx, s)
		}
	}
	e.workers.cancel(room - len(claimed) + len(held))
	if err == nil && len(held) > 0 {
		err = e.postpone(ctx, held, e.Settings.HeldFor)
	}
	return len(claimed) == room, err
}

// claimOnce claims sagas. Those claimed by a call whose answer was lost are claimed
// again when their lease is over.
func (e *Engine) claimOnce(ctx context.Context, room int) ([]Saga, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.StoreTimeout)
	defer cancel()
	return e.Store.Claim(ctx, room, e.Settings.Lease)
}

// postpone makes sagas due again only after wake.
func (e *Engine) postpone(ctx context.Context, sagas []Saga, wake time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.StoreTimeout)
	defer cancel()
	return e.Store.Postpone(ctx, sagas, wake)
}

// countOnce shows what is not finished.
func (e *Engine) countOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.StoreTimeout)
	defer cancel()
	counts, err := e.Store.Unfinished(ctx)
	if err == nil {
		e.Metrics.showUnfinished(e.Definitions, counts)
	}
	return err
}

// countUnfinished counts what is not finished.
func (e *Engine) countUnfinished(ctx context.Context) {
	for wait.For(ctx, e.Settings.CountEvery) {
		if err := e.countOnce(ctx); err != nil && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "sagas not counted", "error", err)
		}
	}
}

// Settings are the times and limits of an engine.
type Settings struct {
	CallTimeout time.Duration // of one call to a participant
	// StoreTimeout is of one call to the store that no request waits for.
	StoreTimeout time.Duration
	Lease        time.Duration // of a claimed saga, from its last stored change
	ClaimEvery   time.Duration
	// ClockEvery is how often the database's clock is read, and how long that may take.
	ClockEvery time.Duration
	ClaimBatch int
	MaxInHand  int           // sagas driven at once
	MaxWaiting int           // sagas that wait in memory to be driven; the others wait in the store
	HoldEvery  time.Duration // how often the store is read for the end of a hold
	HeldFor    time.Duration // for how long a saga is postponed whose next call a hold forbids
	CountEvery time.Duration // of the metric of what is not finished
	KeepFor    time.Duration // after its end; longer than any backup that may be restored
}

// DefaultSettings are the usual ones.
func DefaultSettings() Settings {
	return Settings{
		CallTimeout:  2 * time.Second,
		StoreTimeout: 5 * time.Second,
		Lease:        4 * time.Second,
		ClaimEvery:   200 * time.Millisecond,
		ClockEvery:   time.Second,
		ClaimBatch:   32,
		MaxInHand:    64,
		MaxWaiting:   512,
		HoldEvery:    time.Second,
		HeldFor:      30 * time.Second,
		CountEvery:   5 * time.Second,
		KeepFor:      35 * 24 * time.Hour,
	}
}

// Validate reports every setting that breaks a rule.
func (s Settings) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(s.CallTimeout > 0 && s.StoreTimeout > 0 && s.ClaimEvery > 0 && s.HoldEvery > 0 && s.ClockEvery > 0 && s.CountEvery > 0, "intervals are positive")
	check(s.Lease >= s.CallTimeout+time.Second, "a lease of %v does not outlast a call of %v and its storing", s.Lease, s.CallTimeout)
	check(s.ClaimBatch >= 1 && s.MaxInHand >= s.ClaimBatch, "a batch of %d does not fit %d in hand", s.ClaimBatch, s.MaxInHand)
	check(s.MaxWaiting >= 0 && s.HeldFor >= s.Lease, "%d cannot wait; held for %v is less than a lease", s.MaxWaiting, s.HeldFor)
	check(s.KeepFor >= 24*time.Hour, "keys bind for 24 h, sagas are kept only %v", s.KeepFor)
	return errors.Join(problems...)
}
