package saga

import (
	"context"
	"sync"
	"time"
)

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
