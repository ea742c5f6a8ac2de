package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/books/announce"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

const (
	// shelved is how many books everybody reads and writes.
	shelved     = 4
	priceOfAll  = 100
	copiesOfAll = 100_000
)

// world is a shop of several gateways and several instances of books.
type world struct {
	*testing.T
	pool      *pgxpool.Pool
	nodes     *redistest.Fleet
	history   *history
	gateways  []*front
	instances []*instance
	mortal    *instance // dies each time between commit and announcement

	newest atomic.Int64 // the id of the last book that was added
	next   atomic.Int64 // makes orders and titles differ

	mu      sync.Mutex
	changes []change
	copies  []copies
	sources map[cache.Source]int

	troubles []period // of the test's goroutine
}

// front is a gateway: its caches, and its own idea of who serves what in Redis.
type front struct {
	*cache.Books

	name string
	near *slow
}

// slow is a near tier that can be held up.
type slow struct {
	coherence.Near

	held sync.RWMutex
}

// Raise waits until nobody holds the tier up.
func (s *slow) Raise(floors []coherence.Floor) {
	s.held.RLock()
	defer s.held.RUnlock()
	s.Near.Raise(floors)
}

// instance is an instance of books.
type instance struct {
	books.Store

	name   string
	branch *participant.Participant
}

// copies is how many copies of a book somebody has read, with the version of the stock.
type copies struct{ book, version, copies int64 }

// period is a time in which Redis was not what it should be.
type period struct{ from, to time.Duration }

var quiet = slog.New(slog.DiscardHandler)

func openWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		T: t, pool: pgtest.Database(t, bookspg.Migrations), nodes: redistest.Nodes(t, 3, 1), history: newHistory(),
		sources: map[cache.Source]int{},
	}
	for i := range 3 {
		w.gateways = append(w.gateways, w.gateway(fmt.Sprint("gateway ", i)))
	}
	for i := range 2 {
		w.instances = append(w.instances, w.instance(fmt.Sprint("books ", i)))
	}
	w.mortal = &instance{Store: bookspg.New(w.pool), name: "mortal", branch: participant.New(w.pool, "books", quiet, nil)}
	for range shelved {
		w.add(w.instances[0])
	}
	return w
}

func (w *world) connect() *redis.Client {
	w.Helper()
	client, err := redis.Open(w.nodes.Config())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = client.Close() })
	return client
}

func (w *world) run(part lifecycle.Part) {
	w.Helper()
	if err := part.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = part.Stop(context.Background()) })
}

func (w *world) gateway(name string) *front {
	w.Helper()
	client := w.connect()
	shared := coherence.NewShared(client, nil)
	shared.Patience = 100 * time.Millisecond // the machine is busy
	g := &front{Books: cache.NewBooks(cache.Options{Shared: shared}), name: name}
	w.Cleanup(g.Close)
	g.near = &slow{Near: g.Books}
	follower := coherence.NewFollower(client, "g", g.near, quiet, nil)
	g.Follow(follower)
	w.run(follower.Part())
	return g
}

func (w *world) instance(name string) *instance {
	w.Helper()
	announcer := coherence.NewAnnouncer(w.connect(), quiet, nil)
	relay := outbox.New(w.pool, func(ctx context.Context, floors ...coherence.Floor) error {
		err := announcer.Announce(ctx, floors...)
		if unsure, ok := ctx.Value(doubt{}).(*atomic.Bool); ok && err != nil {
			unsure.Store(true)
		}
		if err == nil {
			w.confirmed(name, floors)
		}
		return err
	}, quiet, nil)
	w.run(lifecycle.Every("outbox", outbox.Every, quiet, relay.Round))
	return &instance{
		Store: announce.Store(bookspg.New(w.pool), relay), name: name,
		branch: participant.New(w.pool, "books", quiet, nil, participant.OnCommit(relay.Committed)),
	}
}

// confirmed records a confirmed announcement, whoever made the change.
func (w *world) confirmed(by string, floors []coherence.Floor) {
	at := w.history.now()
	for _, f := range floors {
		w.history.add(f.BookID, "entry", act{"announced", f.Version, by, at, at})
		w.history.add(f.BookID, "stock", act{"announced", f.StockVersion, by, at, at})
	}
}

// origin is a gateway's read of the books service; call and answer may be delayed.
func (w *world) origin(ctx context.Context, id int64) (cache.Filled, error) {
	hesitate()
	filled, err := w.answer(ctx, id)
	hesitate()
	return filled, err
}

// answer is what books says.
func (w *world) answer(ctx context.Context, id int64) (cache.Filled, error) {
	store := bookspg.New(w.pool)
	entry := &coherence.Entry{BookID: id}
	book, err := store.Get(ctx, id)
	switch {
	case err == nil:
		entry.Version, entry.StockVersion, entry.Status = book.Version, book.StockVersion, http.StatusOK
		entry.Body = strconv.AppendInt(nil, book.Quantity, 10)
	case fault.KindOf(err) == kinds.BookGone:
		entry.Version, entry.StockVersion, entry.Status = coherence.Gone, coherence.Gone, http.StatusGone
	case fault.KindOf(err) == kinds.BookNotFound:
		entry.Status = http.StatusNotFound
		highest, err := store.Highest(ctx)
		return cache.Filled{Entry: entry, Highest: highest}, err
	default:
		return cache.Filled{}, err
	}
	return cache.Filled{Entry: entry}, nil
}

// hesitate mostly takes a moment and now and then long.
func hesitate() {
	wait := rand.N(2 * time.Millisecond)
	if rand.IntN(40) == 0 {
		wait = rand.N(500 * time.Millisecond)
	}
	<-time.After(wait)
}

// read reads through one gateway until ctx ends.
func (w *world) read(ctx context.Context, g *front) {
	for ctx.Err() == nil {
		id := 1 + rand.Int64N(shelved)
		if rand.IntN(4) == 0 { // the last books there are, and one more
			id = max(1, w.newest.Load()+1-rand.Int64N(3))
		}
		began := w.history.now()
		c, source, err := g.get(w.Context(), id, w.origin)
		ended := w.history.now()
		if err != nil {
			w.Errorf("read book %d: %v", id, err)
			return
		}
		w.history.add(id, "entry", act{"read", c.Version, g.name, began, ended})
		w.history.add(id, "stock", act{"read", c.StockVersion, g.name, began, ended})
		w.saw(id, c, source)
		<-time.After(rand.N(4 * time.Millisecond))
	}
}

// get goes the express way, or the long one.
func (g *front) get(ctx context.Context, id int64, origin cache.Origin) (*cache.Copy, cache.Source, error) {
	if c, ok := g.Near(id); ok && rand.IntN(2) == 0 {
		return c, cache.Near, nil
	}
	return g.Get(ctx, id, origin)
}

func (w *world) saw(id int64, c *cache.Copy, source cache.Source) {
	n, err := strconv.ParseInt(string(c.Body), 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources[source]++
	if err == nil {
		w.copies = append(w.copies, copies{id, c.StockVersion, n})
	}
}
