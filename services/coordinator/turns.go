package coordinator

import (
	"context"
	"slices"
	"sync"
)

// turns make requests wait until there is room for them: in the queue of each
// book that they are about, then for a place among all. A crowd that wants one
// book waits here, at no cost and in nobody's way, and not in the branches,
// where each one waiting holds a connection and runs into lock_timeout: without
// a bound, two hundred buyers of one book brought the shop to a standstill.
type turns struct {
	places  chan struct{} // holds one for each request that is worked on
	perBook int

	mu     sync.Mutex
	queues map[int64]*queue
}

// queue is a book's, while anyone is in it.
type queue struct {
	turns chan struct{}
	users int
}

func newTurns(places, perBook int) *turns {
	return &turns{places: make(chan struct{}, places), perBook: perBook, queues: map[int64]*queue{}}
}

// take waits for a turn. It reports false when ctx ends before; otherwise the
// turn must be given back.
func (t *turns) take(ctx context.Context, books []int64) (give func(), ok bool) {
	books = slices.Sorted(slices.Values(books)) // the same order for all: no circle of waits
	taken := 0
	leave := func() {
		for _, id := range books[:taken] {
			t.leave(id, true)
		}
	}
	for _, id := range books {
		if !enter(ctx, t.queue(id).turns) {
			t.leave(id, false)
			leave()
			return nil, false
		}
		taken++
	}
	if !enter(ctx, t.places) {
		leave()
		return nil, false
	}
	return func() { <-t.places; leave() }, true
}

func enter(ctx context.Context, room chan<- struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// queue returns a book's, with one user more.
func (t *turns) queue(book int64) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	q, ok := t.queues[book]
	if !ok {
		q = &queue{turns: make(chan struct{}, t.perBook)}
		t.queues[book] = q
	}
	q.users++
	return q
}

func (t *turns) leave(book int64, had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[book]
	if had {
		<-q.turns
	}
	if q.users--; q.users == 0 {
		delete(t.queues, book)
	}
}
