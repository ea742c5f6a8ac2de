package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
)

// fill is one load of a key that is in flight, shared by all readers who wait for it (singleflight).
type fill struct {
	ctx  context.Context // of its first reader
	load func(ctx context.Context, f *fill) error
	next *fill // for readers who may not share this one; starts when this one has ended
	done chan struct{}

	begun time.Time
	// generation is 0 when the lease was not live at the start. Changes may then have gone unannounced, so the copy is
	// given to this fill's readers and not kept.
	generation uint64

	// The result, readable once done is closed.
	copy   *Copy
	source Source
	err    error
	after  func(context.Context) // runs when the readers have their answer; may be nil
}

func newFill(ctx context.Context, load func(context.Context, *fill) error) *fill {
	return &fill{ctx: ctx, load: load, done: make(chan struct{})}
}

// set makes e the result.
func (f *fill) set(e *coherence.Entry, from Source) {
	if e.FilledAt.IsZero() {
		e.FilledAt = f.begun
	}
	f.copy, f.source = newCopy(e, f.begun, f.generation), from
}

// run loads. A panic becomes the fill's error, since here it would end the process.
func (f *fill) run(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			f.err = &fault.Error{Kind: fault.Internal, Op: "fill the cache", Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	f.err = f.load(ctx, f)
}

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
