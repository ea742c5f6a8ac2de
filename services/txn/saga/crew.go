package saga

import (
	"context"
	"sync"
	"time"
)

// crew drives sagas: up to a number at once. More wait here, first come first
// driven, each for less than its lease, and beyond a bound in the store.
type crew struct {
	do      func(context.Context, Saga)
	alive   context.Context // of calls
	atOnce  int
	most    int           // in hand and waiting
	patient time.Duration // of one that waits: then whoever claims it drives it
	roomy   chan struct{} // has one when sagas may be claimed

	mu       sync.Mutex
	closed   bool
	reserved int // in hand, waiting, or about to be
	driving  int
	waiting  []inLine
	working  sync.WaitGroup
}

// inLine is a saga that waits for its turn.
type inLine struct {
	ctx   context.Context
	saga  Saga
	since time.Time
}

func newCrew(alive context.Context, s Settings, do func(context.Context, Saga)) *crew {
	return &crew{
		do: do, alive: alive, atOnce: s.MaxInHand, most: s.MaxInHand + s.MaxWaiting, patient: s.Lease / 2,
		roomy: make(chan struct{}, 1),
	}
}

// reserve keeps room for a saga that is about to be stored. Whoever has reserved
// drives or cancels.
func (c *crew) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.reserved >= c.most {
		return false
	}
	c.reserved++
	return true
}

// reserveForClaims keeps room for as many as would not have to wait, up to batch,
// or for a few of them: those in the store get their turn too where those begun
// here would take all.
func (c *crew) reserveForClaims(batch int) int {
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
func (c *crew) cancel(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(n)
}

func (c *crew) free(n int) {
	c.reserved -= n
	if c.reserved <= c.atOnce/2 {
		select {
		case c.roomy <- struct{}{}:
		default:
		}
	}
}

// waitForRoom returns when at least half of the crew has nothing to do, or when
// some time has passed; false is that ctx has ended.
func (c *crew) waitForRoom(ctx context.Context, most time.Duration) bool {
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

// drive has a saga driven for which there is room. The context keeps what the
// request's carries, but not its end.
func (c *crew) drive(ctx context.Context, s Saga) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := inLine{context.WithoutCancel(ctx), s, time.Now()}
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

// work drives one saga after the other until none waits.
func (c *crew) work(one inLine) {
	for more := true; more; one, more = c.next() {
		if time.Since(one.since) < c.patient {
			c.driveOne(one)
		}
	}
}

func (c *crew) driveOne(one inLine) {
	ctx, cancel := context.WithCancel(one.ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	c.do(ctx, one.saga)
}

// next ends the work on one saga and begins that on the next.
func (c *crew) next() (inLine, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(1)
	if c.closed || len(c.waiting) == 0 {
		c.driving--
		return inLine{}, false
	}
	one := c.waiting[0]
	c.waiting[0] = inLine{}
	c.waiting = c.waiting[1:]
	return one, true
}

func (c *crew) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// stop takes nothing in hand any more and waits for what is.
func (c *crew) stop() {
	c.mu.Lock()
	c.closed = true
	c.waiting = nil
	c.mu.Unlock()
	c.working.Wait()
}
