package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/books"
	"bookstore/services/books/announce"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	ctx     = context.Background()
	discard = slog.New(slog.DiscardHandler)
)

// caches stand for all gateways.
type caches struct {
	mu     sync.Mutex
	away   bool
	each   func(coherence.Floor) // at each floor that is announced; nil doesn't
	calls  int
	floors map[int64]coherence.Floor
}

func (c *caches) announce(_ context.Context, floors ...coherence.Floor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.away {
		return errors.New("nobody answers")
	}
	for _, f := range floors {
		if c.each != nil {
			c.each(f)
		}
		was := c.floors[f.BookID]
		c.floors[f.BookID] = coherence.Floor{
			BookID: f.BookID, Version: max(was.Version, f.Version), StockVersion: max(was.StockVersion, f.StockVersion),
		}
	}
	return nil
}

func (c *caches) set(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// announced is the highest floor of a book that was announced, and how often announcements came.
func (c *caches) announced(id int64) (f coherence.Floor, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.floors[id], c.calls
}

// shelf is one instance of the service: its way of changing books.
type shelf struct {
	books.Store

	participant *participant.Participant
	relay       *outbox.Relay
}

// shop is a database of books and what is announced of them.
type shop struct {
	t      *testing.T
	pool   *pgxpool.Pool
	caches *caches
}

func open(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	return over(t, pgtest.Database(t, bookspg.Migrations))
}

func over(t *testing.T, pool *pgxpool.Pool) *shop {
	t.Helper()
	return &shop{t, pool, &caches{floors: map[int64]coherence.Floor{}}}
}

// instance is one that announces.
func (s *shop) instance() *shelf {
	relay := outbox.New(s.pool, s.caches.announce, discard, nil)
	return &shelf{
		Store:       announce.Store(bookspg.New(s.pool), relay),
		participant: participant.New(s.pool, "books", discard, nil, participant.OnCommit(relay.Committed), participant.OnStep(relay.Stepped)),
		relay:       relay,
	}
}

// mortal is an instance that is killed each time between a commit and its announcement.
func (s *shop) mortal() *shelf {
	return &shelf{Store: bookspg.New(s.pool), participant: participant.New(s.pool, "books", discard, nil)}
}

// add makes books with no row left in the outbox.
func (s *shop) add(n int) {
	s.t.Helper()
	for i := range n {
		if _, err := s.mortal().Create(ctx, draft(i+1)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.exec("delete from cache_outbox")
}

func draft(n int) books.Draft {
	return books.Draft{
		Entry:    books.Entry{SourceID: fmt.Sprint("s-", n), Title: "T", Authors: []string{"A"}, PriceCents: 100, Currency: "EUR"},
		Quantity: 1000,
	}
}

func (s *shop) exec(sql string) {
	s.t.Helper()
	if _, err := s.pool.Exec(ctx, sql); err != nil {
		s.t.Fatal(err)
	}
}

// ripen makes all rows as old as those that their makers have left to others.
func (s *shop) ripen() {
	s.exec("update cache_outbox set created_at = created_at - interval '2 seconds'")
}

func (s *shop) rows() (n int) {
	s.t.Helper()
	if err := s.pool.QueryRow(ctx, "select count(*) from cache_outbox").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// standing is how a book stands in the database.
func (s *shop) standing(id int64) coherence.Floor {
	s.t.Helper()
	f := coherence.Floor{BookID: id}
	const sql = "select b.version, s.version from books b join stock s on s.book_id = b.id where b.id = $1"
	if err := s.pool.QueryRow(ctx, sql, id).Scan(&f.Version, &f.StockVersion); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// covered fails the test if the caches may still show less of a book than want.
func (s *shop) covered(want coherence.Floor) {
	s.t.Helper()
	if got, _ := s.caches.announced(want.BookID); got.Version < want.Version || got.StockVersion < want.StockVersion {
		s.t.Errorf("announced %+v, want at least %+v", got, want)
	}
}

// Changes, by any instance.

// deadline is one for all: a gid with another deadline is another's.
var deadline = time.Now().Add(time.Hour)

func message(gid string) participant.Message {
	return participant.Message{GID: gid, Branch: "books", Branches: []string{"books"}, Deadline: deadline}
}

func lines(ids ...int64) (all []books.Line) {
	for _, id := range ids {
		all = append(all, books.Line{BookID: id, Quantity: 1, UnitPriceCents: 100})
	}
	return all
}

func (f *shelf) prepare(gid string, action books.Action, ids ...int64) error {
	whole, r := &pgx.Batch{}, books.Reservation{Action: action, OrderID: "o", Lines: lines(ids...)}
	bookspg.Branch.Whole(whole, gid, r)
	return f.participant.PrepareWhole(ctx, message(gid), whole, func(ctx context.Context, tx pgx.Tx) error {
		return bookspg.Branch.Apply(ctx, tx, gid, r)
	})
}

// order waits for others who order the same books.
func (f *shelf) order(gid string, action books.Action, ids ...int64) error {
	for {
		err := f.prepare(gid, action, ids...)
		switch {
		case err == nil:
			return f.participant.Commit(ctx, message(gid))
		case fault.KindOf(err) != fault.Contended:
			return err
		}
	}
}

func stepOf(saga, name string) participant.Key {
	return participant.Key{Saga: uuid.NewSHA1(uuid.NameSpaceOID, []byte(saga)).String(), Step: name}
}

func (f *shelf) step(k participant.Key, action books.Action, ids ...int64) error {
	r := books.Reservation{Action: action, OrderID: "o", Lines: lines(ids...)}
	_, err := bookspg.ReserveStock.Handler(f.participant).Do(ctx, k, r)
	return err
}

func (f *shelf) release(k participant.Key) error {
	return bookspg.ReserveStock.Handler(f.participant).Undo(ctx, k)
}

func retitle(title string) func(books.Entry) (books.Entry, error) {
	return func(e books.Entry) (books.Entry, error) {
		e.Title = title
		return e, nil
	}
}

// under does work under an Idempotency-Key.
func (f *shelf) under(key string, refused bool, do func(context.Context, books.Store) error) (replayed bool, err error) {
	k := books.Key{Caller: "c", Key: key, RequestHash: []byte("h")}
	_, replayed, err = f.Once(ctx, k, func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		return books.Outcome{Status: 200}, refused, do(ctx, store)
	})
	return replayed, err
}

// change is one kind of write to book 1 (and 2, where it moves both).
type change struct {
	name    string
	prepare func(*shelf) error // what it needs; nil for nothing
	do      func(*shelf) error
}

func changes() []change {
	checkout := stepOf("checkout", "reserve_stock")
	return []change{
		{"edit", nil, func(f *shelf) error { _, err := f.Edit(ctx, 1, nil, retitle("edited")); return err }},
		{"put by source", nil, func(f *shelf) error {
			d := draft(1)
			d.Language = "mi"
			_, err := f.PutBySource(ctx, books.SourceDraft{Draft: d})
			return err
		}},
		{"adjust", nil, func(f *shelf) error { _, err := f.Adjust(ctx, 1, 5); return err }},
		{"adjust under a key", nil, func(f *shelf) error {
			_, err := f.under("adjust", false, func(ctx context.Context, store books.Store) error {
				_, err := store.Adjust(ctx, 1, 5)
				return err
			})
			return err
		}},
		{"order", nil, func(f *shelf) error { return f.order("order", books.Reserve, 1, 2) }},
		{"cancel", nil, func(f *shelf) error { return f.order("cancel", books.Restock, 1, 2) }},
		{"checkout", nil, func(f *shelf) error { return f.step(checkout, books.Reserve, 1, 2) }},
		{"release", func(f *shelf) error { return f.step(checkout, books.Reserve, 1, 2) }, func(f *shelf) error { return f.release(checkout) }},
		{"return", nil, func(f *shelf) error { return f.step(stepOf("return", "restock"), books.Restock, 1, 2) }},
		{"delete", nil, func(f *shelf) error { return f.Delete(ctx, 1, nil) }},
	}
}

func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
