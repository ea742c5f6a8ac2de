package cache_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

const (
	// historyTime is how long the shop of the history is open.
	historyTime = 20 * time.Second
	checkTime   = 30 * time.Second
)

// act is something that concerns one version of a book: of its entry, or of its stock.
// Times are since the history's beginning.
type act struct {
	kind         string // begun, announced, read
	version      int64  // 0: there is no book; coherence.Gone: there is none any more
	who          string
	began, ended time.Duration
}

// shown is the model: a number that may be anything between the highest that a writer has
// been announced and the highest that a writer has begun to write.
type shown struct{ announced, begun int64 }

func (s shown) step(a act) (legal bool, next shown) {
	switch a.kind {
	case "begun":
		return true, shown{s.announced, max(s.begun, a.version)}
	case "announced":
		return true, shown{max(s.announced, a.version), s.begun}
	}
	return s.announced <= a.version && a.version <= s.begun, s
}

func explain(acts []act, limit time.Duration) porcupine.CheckResult {
	operations := make([]porcupine.Operation, len(acts))
	for i, a := range acts {
		operations[i] = porcupine.Operation{ClientId: i, Input: a, Call: int64(a.began), Return: int64(a.ended)}
	}
	return porcupine.CheckOperationsTimeout(porcupine.Model{
		Init: func() any { return shown{} },
		Step: func(state, input, _ any) (bool, any) { return state.(shown).step(input.(act)) },
	}, operations, limit)
}

// part is what a version is of.
type part struct {
	book int64
	of   string // entry, stock
}

// history is what happened to all books.
type history struct {
	begin time.Time

	mu   sync.Mutex
	acts map[part][]act
}

func newHistory() *history { return &history{begin: time.Now(), acts: map[part][]act{}} }

func (h *history) now() time.Duration { return time.Since(h.begin) }

func (h *history) add(book int64, of string, acts ...act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acts[part{book, of}] = append(h.acts[part{book, of}], acts...)
}

// announced is when the announcement of a version was first confirmed.
func (h *history) announced(p part, version int64) (first time.Duration) {
	first = h.now()
	for _, a := range h.acts[p] {
		if a.kind == "announced" && a.version >= version {
			first = min(first, a.began)
		}
	}
	return first
}

// requireExplained: for each book there is an order of all that happened to it, each in its
// time, in which no read is behind what a writer was last.
func (h *history) requireExplained(t *testing.T) {
	t.Helper()
	var checking sync.WaitGroup
	for p, acts := range h.acts {
		checking.Go(func() {
			switch explain(acts, checkTime) {
			case porcupine.Ok:
			case porcupine.Unknown:
				t.Errorf("book %d's %s: whether %d acts can be explained was not found out:\n%s", p.book, p.of, len(acts), behind(acts))
			default:
				t.Errorf("book %d's %s: %d acts cannot be explained:\n%s", p.book, p.of, len(acts), behind(acts))
			}
		})
	}
	checking.Wait()
}

// behind lists reads that are behind what was announced before they began.
func behind(acts []act) (text string) {
	slices.SortStableFunc(acts, func(a, b act) int { return cmp.Compare(a.began, b.began) })
	var last act
	shown := 0
	for _, a := range acts {
		switch {
		case a.kind == "announced" && a.version > last.version:
			last = a
		case a.kind == "read" && a.version < last.version && shown < 10:
			shown++
			text += fmt.Sprintf("\t%s to %s: %s read %d, and %d was announced at %s by %s\n",
				a.began, a.ended, a.who, a.version, last.version, last.began, last.who)
		}
	}
	return text
}

// Several gateways read, several instances of books write, a few books, while Redis and the
// processes between commit and answer die: no read goes back behind an acknowledged write.
func TestHistory(t *testing.T) {
	t.Parallel()
	w := openWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), historyTime)
	defer cancel()
	var working sync.WaitGroup
	for _, g := range w.gateways {
		for range 3 {
			working.Go(func() { w.read(ctx, g) })
		}
	}
	for _, i := range w.instances {
		working.Go(func() { w.write(ctx, i) })
		working.Go(func() { w.write(ctx, i) })
	}
	working.Go(func() { w.create(ctx) })
	client := w.connect()
	working.Go(func() { w.forget(ctx, client) })
	w.trouble(ctx)
	working.Wait()
	w.requireAllAnnouncedInTheEnd()
	w.finish()
	w.history.requireExplained(t)
	w.requireCopiesAreTrue()
	w.requireEnough()
}

// The model refuses what must not be, and takes what may.
func TestHistoryModel(t *testing.T) {
	t.Parallel()
	at := func(kind string, version int64, began, ended int) act {
		return act{kind, version, "", time.Duration(began), time.Duration(ended)}
	}
	for name, test := range map[string]struct {
		want porcupine.CheckResult
		acts []act
	}{
		"what was announced is read":            {porcupine.Ok, []act{at("begun", 2, 1, 1), at("announced", 2, 2, 2), at("read", 2, 3, 4)}},
		"a read goes behind what was announced": {porcupine.Illegal, []act{at("begun", 2, 1, 1), at("announced", 2, 2, 2), at("read", 1, 3, 4)}},
		"a read that began before it was announced": {porcupine.Ok, []act{
			at("begun", 1, 0, 0), at("begun", 2, 1, 1), at("announced", 2, 3, 3), at("read", 1, 2, 4),
		}},
		"what is not yet announced may come and go": {porcupine.Ok, []act{
			at("begun", 1, 0, 0), at("begun", 2, 1, 1), at("read", 2, 2, 3), at("read", 1, 4, 5), at("announced", 2, 6, 6),
		}},
		"what nobody has written": {porcupine.Illegal, []act{at("begun", 1, 1, 1), at("read", 2, 2, 3)}},
		"a book is there after it was deleted": {porcupine.Illegal, []act{
			at("begun", 1, 1, 1), at("begun", coherence.Gone, 2, 2), at("announced", coherence.Gone, 3, 3), at("read", 1, 4, 5),
		}},
	} {
		if got := explain(test.acts, time.Second); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

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
// it dies, and the call is repeated at another one.
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
