package cache

import (
	"context"
	"sync"
)

// workers run the fills in goroutines of their own: a reader that goes away cancels no fill, each fill has its own
// deadline, and close cancels all of them.
type workers struct {
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	working sync.WaitGroup
}

func newWorkers() *workers {
	c := &workers{}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// run does work in a goroutine, with the values of ctx but not its cancellation. It returns false after close.
func (c *workers) run(ctx context.Context, work func(context.Context)) bool {
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

// close cancels all work and waits for its end.
func (c *workers) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.working.Wait()
}
