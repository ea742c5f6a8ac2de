package cache

import (
	"context"
	"sync"
)

// crew runs the fills. They belong to it and not to their readers: a reader
// who goes away ends none, each has a deadline of its own, and all end with close.
type crew struct {
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	working sync.WaitGroup
}

func newCrew() *crew {
	c := &crew{}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// run does work in a goroutine, with the values of ctx but not its end; false
// when the crew has gone.
func (c *crew) run(ctx context.Context, work func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.working.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		release := context.AfterFunc(c.life, cancel)
		defer release()
		work(ctx)
	})
	return true
}

// close ends all work and waits for it.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.working.Wait()
}
