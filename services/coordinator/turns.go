package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// turns make requests wait until there is room for them: in the queue of each
// book that they are about, then for a place among all. A crowd that wants one
// book waits here, at no cost and in nobody's way, and not in the branches,
// where each one waiting holds a connection and runs into lock_timeout: without
// a bound, two hundred buyers of one book brought the shop to a standstill.
//
// A request keeps its turn until its branches are known to be finished, also
// when its client was answered before that: this bounds the prepared
// transactions that a coordinator leaves in the databases.
type turns struct {
	perBook    int
	mostQueued int // in each queue

	mu     sync.Mutex
	places queue // of all requests
	books  map[int64]*queue
}

// want is a book that a request is about, and how many copies it takes: 0 if none.
type want struct{ book, copies int64 }

// queue hands out places in the order in which requests ask for them.
type queue struct {
	free, held int
	left       int // of those held: by requests whose clients were answered
	waiting    []*waiter
	short      *shortage // the latest
}

// shortage is a refusal for want of copies, of a book.
type shortage struct {
	refusal *fault.Error
	copies  int64     // that were left
	since   time.Time // the database was asked then or later
}

// waiter is a request in a queue.
type waiter struct {
	copies  int64
	arrived time.Time
	verdict chan error // one: nil is a place
}

// turn is what a request holds of the queues.
type turn struct {
	turns     *turns
	books     []int64
	place     bool
	abandoned bool // counted in left
}

func newTurns(places, perBook, mostQueued int) *turns {
	return &turns{perBook: perBook, mostQueued: mostQueued, places: queue{free: places}, books: map[int64]*queue{}}
}

// atOnce returns a turn if there is room for the request, otherwise nil.
func (t *turns) atOnce(wants []want) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	full := func(w want) bool { q := t.books[w.book]; return q != nil && q.free == 0 }
	if t.places.free == 0 || slices.ContainsFunc(wants, full) {
		return nil
	}
	got := &turn{turns: t, place: true}
	t.places.take()
	for _, w := range wants {
		t.book(w.book).take()
		got.books = append(got.books, w.book)
	}
	return got
}

// take waits for a turn of a request that arrived at this time. It fails with
// OutOfStock once a look at the database that began later has found too few
// copies of a book; with Overloaded when ctx ends, or too many wait already; and
// with Unavailable when only unfinished transactions are in the way whose
// clients do not wait any more.
func (t *turns) take(ctx context.Context, wants []want, arrived time.Time) (*turn, error) {
	// The same order for all: no circle of waits.
	wants = slices.SortedFunc(slices.Values(wants), func(a, b want) int { return cmp.Compare(a.book, b.book) })
	got := &turn{turns: t}
	for _, w := range wants {
		if err := t.enter(ctx, w.book, &waiter{copies: w.copies, arrived: arrived, verdict: make(chan error, 1)}); err != nil {
			got.leave()
			return nil, err
		}
		got.books = append(got.books, w.book)
	}
	if err := t.enter(ctx, allBooks, &waiter{verdict: make(chan error, 1)}); err != nil {
		got.leave()
		return nil, err
	}
	got.place = true
	return got, nil
}

// allBooks names the queue for places among all requests. No book has this id.
const allBooks = 0

// enter waits for a place in a queue.
func (t *turns) enter(ctx context.Context, book int64, w *waiter) error {
	t.mu.Lock()
	q := t.book(book)
	switch {
	case q.short.refuses(w):
		refusal := q.short.refusal // under the lock: a later one may not answer w
		t.mu.Unlock()
		return refusal
	case q.free > 0:
		q.take()
		t.mu.Unlock()
		return nil
	case len(q.waiting) >= t.mostQueued:
		t.mu.Unlock()
		return tooMany()
	case book == allBooks && q.left == q.held:
		t.mu.Unlock()
		return allUnfinished()
	}
	q.waiting = append(q.waiting, w)
	t.mu.Unlock()
	select {
	case err := <-w.verdict:
		return err
	case <-ctx.Done():
		return t.giveUp(book, w)
	}
}

// giveUp takes a request out of a queue. It may have got its place just now: it
// goes on then, and finds out by itself that it is late.
func (t *turns) giveUp(book int64, w *waiter) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.book(book)
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		t.forget(book)
		return tooMany()
	}
	return <-w.verdict
}

func tooMany() error {
	return &fault.Error{
		Kind: fault.Overloaded, RetryAfter: time.Second,
		Message: "too many orders at once: nothing has changed, ask again with the same Idempotency-Key",
	}
}

func allUnfinished() error {
	return &fault.Error{
		Kind: fault.Unavailable, RetryAfter: time.Second,
		Message: "a part of the shop does not answer, and orders wait for it: nothing has changed, ask again with the same Idempotency-Key",
	}
}

// soldOut tells those who wait for a book that another request was refused, as
// far as that answers theirs: they came before since, when the database was
// asked, and take more copies than it had.
func (t *turns) soldOut(refusal *fault.Error, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for book, copies := range copiesLeft(refusal) {
		q := t.books[book]
		if q == nil {
			continue
		}
		one := *refusal
		one.Details = map[string]any{"books": []any{map[string]any{"bookId": book, "available": copies}}}
		q.short = &shortage{refusal: &one, copies: copies, since: since}
		q.tell(q.short.refusal, q.short.refuses)
		t.forget(book)
	}
}

// refuses tells whether a shortage answers a request.
func (s *shortage) refuses(w *waiter) bool {
	return s != nil && w.copies > s.copies && w.arrived.Before(s.since)
}

// copiesLeft reads how many copies of which books a refusal says are left.
func copiesLeft(refusal *fault.Error) map[int64]int64 {
	var said struct {
		Books []struct {
			BookID    int64  `json:"bookId"`
			Available *int64 `json:"available"`
		} `json:"books"`
	}
	text, err := json.Marshal(refusal.Details)
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	left := map[int64]int64{}
	for _, b := range said.Books {
		if err == nil && b.Available != nil {
			left[b.BookID] = *b.Available
		}
	}
	return left
}

// abandon is called for a request whose client has been answered while branches
// are unfinished.
func (r *turn) abandon() {
	if r.turns == nil {
		return
	}
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if !r.place || r.abandoned {
		return
	}
	r.abandoned = true
	t.places.left++
	if t.places.left == t.places.held && t.places.free == 0 {
		t.places.tell(allUnfinished(), func(*waiter) bool { return true })
	}
}

// leaveBooks gives the places in the books' queues back: their rows are free.
func (r *turn) leaveBooks() {
	if r.turns == nil {
		return
	}
	r.turns.mu.Lock()
	defer r.turns.mu.Unlock()
	for _, book := range r.books {
		r.turns.book(book).give()
		r.turns.forget(book)
	}
	r.books = nil
}

// leave gives everything back.
func (r *turn) leave() {
	if r.turns == nil {
		return
	}
	r.leaveBooks()
	t := r.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if !r.place {
		return
	}
	r.place = false
	if r.abandoned {
		t.places.left--
	}
	t.places.give()
}

// book returns a queue, which is there as long as anyone is in it.
func (t *turns) book(id int64) *queue {
	if id == allBooks {
		return &t.places
	}
	q := t.books[id]
	if q == nil {
		q = &queue{free: t.perBook}
		t.books[id] = q
	}
	return q
}

func (t *turns) forget(book int64) {
	if q := t.books[book]; q != nil && q.held == 0 && len(q.waiting) == 0 {
		delete(t.books, book)
	}
}

func (q *queue) take() { q.free, q.held = q.free-1, q.held+1 }

// give hands a place to the next who waits for one.
func (q *queue) give() {
	if len(q.waiting) == 0 {
		q.free, q.held = q.free+1, q.held-1
		return
	}
	q.waiting[0].verdict <- nil
	q.waiting = slices.Delete(q.waiting, 0, 1)
}

// tell refuses those who wait and are meant.
func (q *queue) tell(refusal error, meant func(*waiter) bool) {
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter) bool {
		if !meant(w) {
			return false
		}
		w.verdict <- refusal
		return true
	})
}
