package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

// change is a change of a book, and what its writer knows of it.
type change struct {
	book     int64
	of       string
	version  int64  // 0: the ledger knows
	gid      string // of an order
	who      string
	begun    time.Duration
	answered time.Duration // 0: never
	unsure   bool          // the announcement was not confirmed
}

// doubt is where an instance notes that an announcement was not confirmed. It travels with
// the context of the change.
type doubt struct{}

// begin is a change through an instance that is about to be made.
func (w *world) begin(i *instance, book int64) (ctx context.Context, c *change, answered func()) {
	unsure := &atomic.Bool{}
	c = &change{book: book, who: i.name, begun: w.history.now()}
	return context.WithValue(w.Context(), doubt{}, unsure), c, func() {
		if i != w.mortal {
			c.answered, c.unsure = w.history.now(), unsure.Load()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes = append(w.changes, *c)
	}
}

// write changes books through one instance until ctx ends.
func (w *world) write(ctx context.Context, i *instance) {
	for ctx.Err() == nil {
		id := 1 + rand.Int64N(shelved)
		switch rand.IntN(8) {
		case 0: // made, and neither announced nor answered
			w.change(w.mortal, id)
		case 1, 2, 3:
			w.change(i, id)
		default:
			w.order(i, id)
		}
		<-time.After(rand.N(40 * time.Millisecond))
	}
}

// change edits a book or adjusts its stock.
func (w *world) change(i *instance, id int64) {
	ctx, c, answered := w.begin(i, id)
	var err error
	if rand.IntN(2) == 0 {
		c.of = "entry"
		var book books.Book
		book, err = i.Edit(ctx, id, nil, func(e books.Entry) (books.Entry, error) {
			e.Title = fmt.Sprint("title ", w.next.Add(1))
			return e, nil
		})
		c.version = book.Version
	} else {
		c.of = "stock"
		var left books.Availability
		left, err = i.Adjust(ctx, id, 1)
		c.version = left.StockVersion
	}
	if fault.KindOf(err) == fault.Unavailable && err != nil {
		return // not made: a machine that is busy ends transactions that stand still
	}
	if err != nil {
		w.Errorf("change the %s of book %d: %v", c.of, id, err)
		return
	}
	answered()
}

// order sells a copy in a branch of a two-phase commit. Sometimes the instance that commits
// it dies, and another one is asked again.
func (w *world) order(i *instance, id int64) {
	ctx, c, answered := w.begin(i, id)
	c.of, c.gid = "stock", fmt.Sprint("o", w.next.Add(1))
	m := participant.Message{GID: c.gid, Branch: "books", Branches: []string{"books"}, Deadline: time.Now().Add(time.Minute)}
	r := books.Reservation{Action: books.Reserve, OrderID: c.gid, Lines: []books.Line{{BookID: id, Quantity: 1, UnitPriceCents: priceOfAll}}}
	err := i.branch.Prepare(ctx, m, func(ctx context.Context, tx pgx.Tx) error { return bookspg.Branch.Apply(ctx, tx, c.gid, r) })
	if fault.KindOf(err) == fault.Contended && err != nil {
		return
	}
	if err == nil && rand.IntN(4) == 0 {
		err = w.mortal.branch.Commit(ctx, m)
	}
	if err == nil {
		err = i.branch.Commit(ctx, m)
	}
	if err != nil {
		w.Errorf("order book %d: %v", id, err)
		return
	}
	answered()
}

// create adds books, and deletes some again, until ctx ends.
func (w *world) create(ctx context.Context) {
	for ctx.Err() == nil {
		id := w.add(w.instances[0])
		if rand.IntN(3) == 0 {
			w.remove(w.instances[1], id)
		}
		<-time.After(rand.N(300 * time.Millisecond))
	}
}

// add makes a book. Its first versions are two changes.
func (w *world) add(i *instance) (id int64) {
	draft := books.Draft{
		Entry:    books.Entry{Title: fmt.Sprint("title ", w.next.Add(1)), Authors: []string{"A"}, PriceCents: priceOfAll, Currency: "EUR"},
		Quantity: copiesOfAll,
	}
	ctx, c, answered := w.begin(i, 0)
	book, err := i.Create(ctx, draft)
	if err != nil {
		w.Errorf("add a book: %v", err)
		return 1
	}
	c.book, c.of, c.version = book.ID, "entry", book.Version
	answered()
	c.of, c.version = "stock", book.StockVersion
	answered()
	w.newest.Store(book.ID)
	return book.ID
}

func (w *world) remove(i *instance, id int64) {
	ctx, c, answered := w.begin(i, id)
	if err := i.Delete(ctx, id, nil); err != nil {
		w.Errorf("delete book %d: %v", id, err)
		return
	}
	for _, of := range []string{"entry", "stock"} {
		c.of, c.version = of, coherence.Gone
		answered()
	}
}
