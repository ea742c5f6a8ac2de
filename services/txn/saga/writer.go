package saga

import (
	"context"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// writer stores the changes of many sagas in one statement: all that have come
// together while the statement before was on its way to the disk. Alone, each
// would pay for a round trip and a flush of its own.
type writer struct {
	store   Store
	timeout time.Duration // of one statement
	alive   context.Context
	changes chan pending
	over    chan struct{} // closed when nothing is taken in any more
	writing sync.WaitGroup
}

type pending struct {
	change Change
	done   chan<- result
}

type result struct {
	applied bool
	err     error
}

const (
	// Two statements at once: one collects its answer while the other is written.
	writers   = 2
	mostAtOne = 128
)

func newWriter(alive context.Context, store Store, timeout time.Duration) *writer {
	return &writer{store: store, timeout: timeout, alive: alive, changes: make(chan pending), over: make(chan struct{})}
}

func (w *writer) start() {
	for range writers {
		w.writing.Go(w.write)
	}
}

// stop waits for what has been handed in, and refuses what comes later.
func (w *writer) stop() {
	close(w.over)
	w.writing.Wait()
}

// advance hands a change in and waits for it. Once handed in, a change is made
// whether or not ctx ends. A statement without an answer within the time-out
// leaves open whether it is made; its connection is given up, and PostgreSQL
// goes on with it, for a wait for a standby must not be cancelled.
func (w *writer) advance(ctx context.Context, c Change) (bool, error) {
	done := make(chan result, 1)
	select {
	case w.changes <- pending{change: c, done: done}:
	case <-w.over:
		return false, fault.New(fault.Unavailable, "this instance is stopping; ask again")
	case <-ctx.Done():
		return false, fault.Wrap("store a saga's change", ctx.Err())
	}
	select {
	case r := <-done:
		return r.applied, r.err
	case <-ctx.Done():
		return false, fault.Wrap("store a saga's change", ctx.Err())
	}
}

func (w *writer) write() {
	for {
		select {
		case first := <-w.changes:
			w.writeBatch(w.collect(first))
		case <-w.over:
			return
		}
	}
}

// collect takes what else is waiting to be written.
func (w *writer) collect(first pending) []pending {
	batch := []pending{first}
	for len(batch) < mostAtOne {
		select {
		case next := <-w.changes:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (w *writer) writeBatch(batch []pending) {
	changes := make([]Change, len(batch))
	for i, p := range batch {
		changes[i] = p.change
	}
	ctx, cancel := context.WithTimeout(w.alive, w.timeout)
	defer cancel()
	applied, err := w.store.Advance(ctx, changes)
	for i, p := range batch {
		p.done <- result{applied: err == nil && applied[i], err: err}
	}
}
