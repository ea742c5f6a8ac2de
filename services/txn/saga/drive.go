package saga

import (
	"context"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// drive makes one call after the other until the saga has to wait, is over, or
// turns out to have been changed by another coordinator, which drives it then. A saga
// that it leaves is claimed again when its lease is over.
func (e *Engine) drive(ctx context.Context, s Saga) {
	d, ok := e.definitions[s.Definition]
	if !ok {
		e.Log.ErrorContext(ctx, "no saga is defined by this name", "saga", s.ID, "definition", s.Definition)
		return
	}
	for taken := s.Version; !e.workers.isClosed(); {
		now := e.now()
		due := d.Due(s, now)
		var happened Event
		switch due.Op {
		case Nothing:
			return
		case Wait:
			if s.Version == taken {
				e.postponeUntilDue(ctx, s, due.At.Sub(now))
			}
			return
		case Expire:
			happened = Event{Kind: DeadlinePassed, At: now}
		default:
			if e.hold.holds(d, s, due) {
				return
			}
			happened = e.call(ctx, d, s, due)
		}
		next, ok := d.Next(s, happened)
		if !ok {
			e.Log.ErrorContext(ctx, "an answer does not apply to its saga", "saga", s.ID, "event", happened.Kind, "step", happened.Step)
			return
		}
		if next, ok = e.store(ctx, d, s, next); !ok {
			return
		}
		s = next
	}
}

// postponeUntilDue postpones a saga that is not due: two readings of the clock differ
// a little, or it begins with an approval. Otherwise it could be claimed only when
// its lease is over.
func (e *Engine) postponeUntilDue(ctx context.Context, s Saga, wake time.Duration) {
	if err := e.postpone(ctx, []Saga{s}, wake); err != nil {
		e.Log.WarnContext(ctx, "a saga sleeps until its lease is over", "saga", s.ID, "error", err)
	}
}

// call calls the participant of the step that is due.
func (e *Engine) call(ctx context.Context, d Definition, s Saga, due Due) Event {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, e.Settings.CallTimeout)
	defer cancel()
	err := e.callParticipant(ctx, d, s, due)
	happened := event(due.Op, due.Step, err, e.now())
	e.Metrics.called(s.Definition, due, happened, time.Since(began))
	if err != nil && happened.Kind != StepRefused {
		e.Log.WarnContext(ctx, "a call about a step failed", "saga", s.ID, "definition", s.Definition,
			"step", due.Step, "op", due.Op, "failures", s.Failures+1, "error", err)
	}
	return happened
}

func (e *Engine) callParticipant(ctx context.Context, d Definition, s Saga, due Due) error {
	step, ok := d.step(due.Step)
	if !ok {
		return fault.Newf(fault.Internal, "saga %s has no step %q", s.Definition, due.Step)
	}
	participant, c := e.Participants[step.at], Call{Saga: s.ID, Step: step.name}
	if due.Op == Undo {
		return participant.Undo(ctx, c)
	}
	payload, err := step.send(s.Data)
	if err != nil {
		return err
	}
	return participant.Do(ctx, c, payload)
}

// store stores a change. It reports false when that failed, or may have failed.
func (e *Engine) store(ctx context.Context, d Definition, before, after Saga) (Saga, bool) {
	change := Change{Saga: after, Wake: e.wake(d, after), News: newsOf(before, after)}
	applied, err := e.writer.advance(ctx, change)
	if err != nil {
		e.Log.WarnContext(ctx, "a saga's change is not known to be stored: it is claimed again", "saga", after.ID, "error", err)
		return Saga{}, false
	}
	if applied {
		after.Version++
		e.Metrics.changed(before, after)
		if after.State == Stuck && before.State != Stuck {
			e.Log.ErrorContext(ctx, "a saga is stuck", "saga", after.ID, "definition", after.Definition, "failures", after.Failures)
		}
	}
	return after, applied
}

// wake is when another coordinator may claim the saga: after its lease while it is
// driven here, otherwise when it is due.
func (e *Engine) wake(d Definition, s Saga) Wake {
	now := e.now()
	switch due := d.Due(s, now); due.Op {
	case Nothing:
		return Never
	case Wait:
		return Wake(max(0, due.At.Sub(now)))
	default:
		return Wake(e.Settings.Lease)
	}
}

// newsOf is what clients are shown of a change.
func newsOf(before, after Saga) News {
	n := News{State: after.State, Cause: after.Cause}
	for i, step := range after.Steps {
		if i >= len(before.Steps) || step.State != before.Steps[i].State || step.Attempts != before.Steps[i].Attempts {
			n.Steps = append(n.Steps, step)
		}
	}
	return n
}

// workers drive sagas, up to atOnce at the same time. Further ones wait in a first-in, first-out queue, each for less than
// its lease; beyond the bound of the queue they wait in the store.
type workers struct {
	do      func(context.Context, Saga)
	alive   context.Context // ends all work
	atOnce  int
	most    int           // driven and queued
	patient time.Duration // in the queue: then any coordinator may claim the saga
	roomy   chan struct{} // holds one when sagas may be claimed

	mu       sync.Mutex
	closed   bool
	reserved int // driven, queued, or about to be
	driving  int
	waiting  []queued
	working  sync.WaitGroup
}

// queued is a saga in the queue.
type queued struct {
	ctx   context.Context
	saga  Saga
	since time.Time
}

func newWorkers(alive context.Context, s Settings, do func(context.Context, Saga)) *workers {
	return &workers{
		do: do, alive: alive, atOnce: s.MaxInHand, most: s.MaxInHand + s.MaxWaiting, patient: s.Lease / 2,
		roomy: make(chan struct{}, 1),
	}
}

// reserve keeps room for a saga that is about to be stored. After true the caller must call drive or cancel.
func (c *workers) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.reserved >= c.most {
		return false
	}
	c.reserved++
	return true
}

// reserveForClaims keeps room for as many sagas as need not queue, up to batch, but for a quarter of batch at least while
// the queue has room: sagas in the store must not starve behind those that begin here.
func (c *workers) reserveForClaims(batch int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	n := min(batch, max(c.atOnce-c.reserved, batch/4), c.most-c.reserved)
	c.reserved += n
	return n
}

// cancel gives back room for n sagas.
func (c *workers) cancel(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(n)
}

func (c *workers) free(n int) {
	c.reserved -= n
	if c.reserved <= c.atOnce/2 {
		select {
		case c.roomy <- struct{}{}:
		default:
		}
	}
}

// waitForRoom waits until at least half of the workers are idle, or until most has passed. It returns false when ctx has
// ended.
func (c *workers) waitForRoom(ctx context.Context, most time.Duration) bool {
	c.mu.Lock()
	roomy := c.reserved <= c.atOnce/2
	c.mu.Unlock()
	if roomy {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-c.roomy:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// drive starts or queues a saga for which room is reserved, with the values of ctx but not its cancellation.
func (c *workers) drive(ctx context.Context, s Saga) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := queued{context.WithoutCancel(ctx), s, time.Now()}
	switch {
	case c.closed:
		c.free(1)
	case c.driving < c.atOnce:
		c.driving++
		c.working.Go(func() { c.work(one) })
	default:
		c.waiting = append(c.waiting, one)
	}
}

// work drives one saga after another until the queue is empty.
func (c *workers) work(one queued) {
	for more := true; more; one, more = c.next() {
		if time.Since(one.since) < c.patient {
			c.driveOne(one)
		}
	}
}

func (c *workers) driveOne(one queued) {
	ctx, cancel := context.WithCancel(one.ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	c.do(ctx, one.saga)
}

// next ends the work on one saga and takes the next from the queue.
func (c *workers) next() (queued, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(1)
	if c.closed || len(c.waiting) == 0 {
		c.driving--
		return queued{}, false
	}
	one := c.waiting[0]
	c.waiting[0] = queued{}
	c.waiting = c.waiting[1:]
	return one, true
}

func (c *workers) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// stop drops the queue and waits for the sagas that are driven.
func (c *workers) stop() {
	c.mu.Lock()
	c.closed = true
	c.waiting = nil
	c.mu.Unlock()
	c.working.Wait()
}
