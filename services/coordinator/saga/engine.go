package saga

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bookstore/services/kit/fault"
)

// Options are what an engine works with.
type Options struct {
	Store        Store
	Definitions  []Definition
	Participants map[string]Participant // by the At of steps
	Clock        func() time.Time
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
	slots       chan struct{} // holds one for each saga in hand
	writer      *writer
	hold        hold

	gate    sync.Mutex // guards closed, and driving against it
	closed  bool
	driving sync.WaitGroup
	alive   context.Context // of calls: ends when the engine gives up on what is in hand
	giveUp  context.CancelFunc

	loop     sync.WaitGroup
	stopLoop context.CancelFunc
	stopping sync.Once
}

// NewEngine checks the definitions and makes an engine. Start makes it work.
func NewEngine(o Options) (*Engine, error) {
	if err := o.Settings.Validate(); err != nil {
		return nil, fault.Wrap("check the settings of sagas", err)
	}
	e := &Engine{Options: o, definitions: map[string]Definition{}, slots: make(chan struct{}, o.Settings.MaxInHand)}
	for _, d := range o.Definitions {
		for _, name := range d.Participants() {
			if o.Participants[name] == nil {
				return nil, fault.Newf(fault.Internal, "saga %s: no participant is called %q", d.Name, name)
			}
		}
		e.definitions[d.Name] = d
	}
	e.alive, e.giveUp = context.WithCancel(context.Background())
	e.writer = newWriter(e.alive, o.Store)
	return e, nil
}

// Start begins to drive what is stored.
func (e *Engine) Start(context.Context) error {
	e.Metrics.held.Set(1)
	ctx, stop := context.WithCancel(context.Background())
	e.stopLoop = stop
	e.writer.start()
	if e.held(ctx) {
		e.loop.Go(func() { e.watchHold(ctx) })
	}
	e.loop.Go(func() { e.claimDue(ctx) })
	e.loop.Go(func() { e.countUnfinished(ctx) })
	return nil
}

// Stop takes nothing in hand any more, waits until ctx ends for the calls under
// way, and leaves the rest to the other coordinators.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopping.Do(func() {
		e.stopLoop()
		e.loop.Wait()
		over := context.AfterFunc(ctx, e.giveUp)
		defer over()
		e.gate.Lock()
		e.closed = true
		e.gate.Unlock()
		e.driving.Wait()
		e.writer.stop()
		e.giveUp()
	})
	return nil
}

// take begins to drive a saga that was read at the version it has, if there is
// room; otherwise it is left to be claimed.
func (e *Engine) take(ctx context.Context, s Saga) {
	select {
	case e.slots <- struct{}{}:
		e.goOn(ctx, s)
	default:
	}
}

// goOn drives a saga for which a slot is taken.
func (e *Engine) goOn(ctx context.Context, s Saga) {
	e.gate.Lock()
	defer e.gate.Unlock()
	if e.closed {
		<-e.slots
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(e.alive, cancel)
	e.driving.Go(func() {
		defer func() { <-e.slots }()
		defer cancel()
		defer release()
		e.drive(ctx, s)
	})
}

func (e *Engine) isClosed() bool {
	e.gate.Lock()
	defer e.gate.Unlock()
	return e.closed
}

// claimDue takes sagas in hand whose time has come: those that wait between two
// tries, whose deadline has passed, or whose coordinator fell silent.
func (e *Engine) claimDue(ctx context.Context) {
	failing := false
	for pause(ctx, e.Settings.ClaimEvery) {
		err := e.claim(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "sagas cannot be read; trying on", "error", err)
		}
		failing = err != nil
	}
}

func (e *Engine) claim(ctx context.Context) error {
	room := 0
	for room < e.Settings.ClaimBatch && e.reserve() {
		room++
	}
	claimed, err := []Saga(nil), error(nil)
	if room > 0 {
		claimed, err = e.Store.Claim(ctx, room, e.Settings.Lease)
	}
	for range room - len(claimed) {
		<-e.slots
	}
	for _, s := range claimed {
		e.goOn(ctx, s)
	}
	return err
}

func (e *Engine) reserve() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// countUnfinished counts what is not finished.
func (e *Engine) countUnfinished(ctx context.Context) {
	for pause(ctx, e.Settings.CountEvery) {
		counts, err := e.Store.Unfinished(ctx)
		if err == nil {
			e.Metrics.showUnfinished(e.Definitions, counts)
		} else if ctx.Err() == nil {
			e.Log.WarnContext(ctx, "sagas not counted", "error", err)
		}
	}
}
