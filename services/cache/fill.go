package cache

import (
	"context"
	"fmt"
	"runtime/debug"
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
