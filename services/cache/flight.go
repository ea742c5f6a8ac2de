package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
)

// flight is one fill on its way, with all who wait for it.
type flight struct {
	ctx  context.Context // of its first reader
	fill func(ctx context.Context, f *flight) error
	next *flight // for readers who may not share this one; begins when it has ended
	done chan struct{}

	begun time.Time
	// generation is 0 when the lease was not alive as the fill began: then there
	// may have been changes that nobody told, and its copy is for its readers alone.
	generation uint64

	// What it brought: readable once done is closed.
	copy   *Copy
	source Source
	err    error
	after  func(context.Context) // what is left to do when the readers have their answer; may be nil
}

func newFlight(ctx context.Context, fill func(context.Context, *flight) error) *flight {
	return &flight{ctx: ctx, fill: fill, done: make(chan struct{})}
}

// bring is what a fill does with its answer.
func (f *flight) bring(e *coherence.Entry, from Source) {
	if e.FilledAt.IsZero() {
		e.FilledAt = f.begun
	}
	f.copy, f.source = newCopy(e, f.begun, f.generation), from
}

// fly runs the fill; a panic is its failure, since here it would end the process.
func (f *flight) fly(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			f.err = &fault.Error{Kind: fault.Internal, Op: "fill the cache", Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	f.err = f.fill(ctx, f)
}
