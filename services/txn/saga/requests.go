package saga

import (
	"context"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/requestinfo"
)

// Begun is the saga that a request began, or that an earlier request with its key
// did.
type Begun struct {
	Saga     Saga
	Outcome  Outcome
	Replayed bool
}

// Begin starts a saga, unless one stands under the caller's key. show renders
// what is answered, which is kept for repeats.
func (e *Engine) Begin(ctx context.Context, d Definition, r Request, show func(Saga) (Outcome, error)) (Begun, error) {
	if err := e.ensureClock(ctx); err != nil {
		return Begun{}, err
	}
	id, err := e.NewID()
	if err != nil {
		return Begun{}, fault.Wrap("make a saga's id", err)
	}
	s, err := d.begin(r, id, e.now())
	if err != nil {
		return Begun{}, err
	}
	room := e.workers.reserve()
	begun, err := e.create(ctx, s, r, e.firstWake(room), show)
	mine := err == nil && !begun.Replayed
	if mine {
		e.Metrics.begun(d.Name)
	}
	e.useRoom(ctx, begun.Saga, room, mine)
	requestinfo.SetSaga(ctx, begun.Saga.ID)
	return begun, err
}

// firstWake is when a saga may be claimed: after its lease if there is room to drive
// it here, otherwise at once.
func (e *Engine) firstWake(room bool) Wake {
	if room {
		return Wake(e.Settings.Lease)
	}
	return 0
}

// useRoom uses the room that was reserved for a saga, if it is to be driven here.
func (e *Engine) useRoom(ctx context.Context, s Saga, room, mine bool) {
	switch {
	case room && mine:
		e.workers.drive(ctx, s)
	case room:
		e.workers.cancel(1)
	}
}

// Refuse binds a refusal to the caller's key: the saga is over before it began.
func (e *Engine) Refuse(ctx context.Context, d Definition, r Request, outcome Outcome, cause error) (Begun, error) {
	if err := e.ensureClock(ctx); err != nil {
		return Begun{}, err
	}
	id, err := e.NewID()
	if err != nil {
		return Begun{}, fault.Wrap("make a saga's id", err)
	}
	r.Data = struct{}{}
	now := e.now()
	s := Saga{
		ID: id, Definition: d.Name, Caller: r.Caller, Key: r.Key, State: Failed, Cause: CauseOf(cause), Steps: []Step{},
		Data: []byte("{}"), Deadline: now, CreatedAt: now, UpdatedAt: now, FinishedAt: now,
	}
	return e.create(ctx, s, r, Never, func(Saga) (Outcome, error) { return outcome, nil })
}

func (e *Engine) create(ctx context.Context, s Saga, r Request, wake Wake, show func(Saga) (Outcome, error)) (Begun, error) {
	s.Version = 1
	outcome, err := show(s)
	if err != nil {
		return Begun{}, err
	}
	created, err := e.Store.Create(ctx, New{Saga: s, RequestHash: r.RequestHash, Outcome: outcome, Wake: wake})
	if err != nil {
		return Begun{}, err
	}
	if created {
		return Begun{Saga: s, Outcome: outcome}, nil
	}
	earlier, err := e.Earlier(ctx, r)
	if err == nil && earlier == nil {
		err = fault.New(fault.Unavailable, "the Idempotency-Key has just become free; ask again")
	}
	if err != nil {
		return Begun{}, err
	}
	return *earlier, nil
}

// Earlier finds the saga of an earlier request with the same key; nil if there is
// none. Another request under the key is fault.IdempotencyKeyReused.
func (e *Engine) Earlier(ctx context.Context, r Request) (*Begun, error) {
	found, err := e.Store.Find(ctx, r.Caller, r.Key)
	switch {
	case err != nil || found == nil:
		return nil, err
	case string(found.RequestHash) != string(r.RequestHash):
		return nil, fault.New(fault.IdempotencyKeyReused, "this Idempotency-Key belongs to another request")
	}
	return &Begun{Saga: found.Saga, Outcome: found.Outcome, Replayed: true}, nil
}

// Approve lets a saga go on that waits for it. One that does not wait any more
// is returned as it is.
func (e *Engine) Approve(ctx context.Context, d Definition, id string) (Saga, error) {
	return e.apply(ctx, d, id, Approved, func(Saga) error { return nil })
}

// Cancel has a saga undone. One that is being undone, or has been, is returned
// as it is; past its pivot the error is PastPivot.
func (e *Engine) Cancel(ctx context.Context, d Definition, id string) (Saga, error) {
	return e.apply(ctx, d, id, CancelAsked, d.CannotCancel)
}

// changeTries bounds how often a change made by someone else in between makes
// change begin again.
const changeTries = 10

// apply applies an event to a saga that anyone may be driving.
func (e *Engine) apply(ctx context.Context, d Definition, id string, kind EventKind, unless func(Saga) error) (Saga, error) {
	return e.change(ctx, d, id, func(s Saga) (Saga, bool, error) {
		next, ok := d.Next(s, Event{Kind: kind, At: e.now()})
		if !ok {
			return s, false, unless(s)
		}
		return next, true, nil
	})
}

// Retry has the next try of a stuck saga made at once.
func (e *Engine) Retry(ctx context.Context, d Definition, id string) (Saga, error) {
	return e.change(ctx, d, id, func(s Saga) (Saga, bool, error) {
		if s.State != Stuck {
			return s, false, nil
		}
		s.Failures, s.UpdatedAt = 0, e.now()
		return s, true, nil
	})
}

// change stores what next makes of a saga, unless that is nothing, and drives it
// on. Anyone may be driving it: the row's version decides between the two.
func (e *Engine) change(ctx context.Context, d Definition, id string, next func(Saga) (Saga, bool, error)) (Saga, error) {
	if err := e.ensureClock(ctx); err != nil {
		return Saga{}, err
	}
	for range changeTries {
		before, err := e.Store.Get(ctx, d.Name, id)
		if err != nil {
			return Saga{}, err
		}
		requestinfo.SetSaga(ctx, before.ID)
		after, changed, err := next(before)
		if !changed {
			return after, err
		}
		room := e.workers.reserve()
		change := Change{Saga: after, Wake: e.firstWake(room), News: newsOf(before, after)}
		if after.State.Final() {
			change.Wake = Never
		}
		applied, err := e.writer.advance(ctx, change)
		if applied {
			after.Version++
			e.Metrics.changed(before, after)
		}
		e.useRoom(ctx, after, room, applied)
		if err != nil {
			return Saga{}, err
		}
		if applied {
			return after, nil
		}
	}
	return Saga{}, fault.New(fault.Contended, "it is changing at this moment; ask again")
}

// Get returns a saga.
func (e *Engine) Get(ctx context.Context, d Definition, id string) (Saga, error) {
	return e.Store.Get(ctx, d.Name, id)
}

// News returns what happened to a saga after seq, and whether there will be
// more. Streams call it, whose own deadline is far away: StoreTimeout bounds it.
func (e *Engine) News(ctx context.Context, d Definition, id string, seq int64) ([]Logged, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.StoreTimeout)
	defer cancel()
	return e.Store.News(ctx, d.Name, id, seq)
}
