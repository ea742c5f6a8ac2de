package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/wait/waittest"
	"bookstore/services/shop/kinds"
)

// library is two gateways' caches before one real database.
type library struct {
	*testing.T
	store    *bookspg.Store
	gateways [2]*cache.Books
	observer *pgx.Conn
	flush    func() // ends the store's connections, so that their counts are reported
}

func openLibrary(t *testing.T) *library {
	t.Helper()
	pool := pgtest.Database(t, bookspg.Migrations)
	l := &library{T: t, store: bookspg.New(pool), flush: pool.Reset}
	l.observer = pgtest.Server(t).Conn(t, pool.Config().ConnConfig.Database)
	for i := range l.gateways {
		l.gateways[i] = cache.NewBooks(cache.Options{})
		l.gateways[i].Follow(&lease{})
		t.Cleanup(l.gateways[i].Close)
	}
	draft := books.Draft{
		Entry:    books.Entry{Title: "Emma", Authors: []string{"Jane Austen"}, PriceCents: 899, Currency: "EUR"},
		Quantity: 3,
	}
	for range 3 {
		if _, err := l.store.Create(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// origin is the books service without HTTP.
func (l *library) origin(ctx context.Context, id int64) (cache.Filled, error) {
	found, err := l.store.Get(ctx, id)
	switch {
	case fault.KindOf(err) == kinds.BookNotFound && err != nil:
		highest, err := l.store.Highest(ctx)
		return cache.Filled{Entry: &coherence.Entry{BookID: id, Status: http.StatusNotFound, Body: []byte(`{"code":"book_not_found"}`)}, Highest: highest}, err
	case err != nil:
		return cache.Filled{}, err
	}
	return cache.Filled{Entry: &coherence.Entry{
		BookID: id, Version: found.Version, StockVersion: found.StockVersion, Status: http.StatusOK, Body: []byte(found.Title),
	}}, nil
}

// all reads with many readers at once, of both gateways.
func (l *library) all(readers int, id func(reader int) int64, want string) {
	l.Helper()
	start := make(chan struct{})
	var reading sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			<-start
			c, _, err := l.gateways[i%2].Get(context.Background(), id(i), l.origin)
			var got string
			switch {
			case err != nil:
				got = err.Error()
			case c.Refusal != nil:
				got = string(c.Refusal.Kind)
			default:
				got = fmt.Sprintf("%s %d.%d", c.Body, c.Version, c.StockVersion)
			}
			if got != want {
				l.Errorf("reader %d got %s, want %s", i, got, want)
			}
		})
	}
	close(start)
	reading.Wait()
}

// reads is how often the table of books has been read. A connection reports its
// count when it ends, at the latest.
func (l *library) reads() (n int64) {
	l.Helper()
	l.flush()
	waittest.Eventually(l, "every other connection has ended", func() bool {
		var others int
		err := l.observer.QueryRow(l.Context(),
			`select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`).Scan(&others)
		if err != nil {
			l.Fatal(err)
		}
		return others == 0
	})
	err := l.observer.QueryRow(l.Context(),
		`select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'books'`).Scan(&n)
	if err != nil {
		l.Fatal(err)
	}
	return n
}

func TestAStampedeOnAHotBookIsOneFillPerGateway(t *testing.T) {
	t.Parallel()
	l := openLibrary(t)
	hot := func(int) int64 { return 1 }
	before := l.reads()
	l.all(1000, hot, "Emma 1.1")
	if reads := l.reads() - before; reads < 1 || reads > 2 {
		t.Errorf("%d reads of the database for a book that nobody had", reads)
	}

	// The key expires for both, as it does after an order.
	if _, err := l.store.Adjust(t.Context(), 1, -1); err != nil {
		t.Fatal(err)
	}
	before = l.reads()
	for _, g := range l.gateways {
		g.Raise([]coherence.Floor{{BookID: 1, Version: 1, StockVersion: 2}})
	}
	l.all(1000, hot, "Emma 1.2")
	if reads := l.reads() - before; reads < 1 || reads > 2 {
		t.Errorf("%d reads of the database for a book that has expired", reads)
	}
	before = l.reads()
	l.all(1000, hot, "Emma 1.2")
	if reads := l.reads() - before; reads != 0 {
		t.Errorf("%d reads of the database for a book that is near", reads)
	}
}

func TestMissingIdsDoNotReachTheDatabase(t *testing.T) {
	t.Parallel()
	l := openLibrary(t)
	before := l.reads()
	// The first read of each gateway returns the highest id.
	l.all(2, func(int) int64 { return 1000 }, "book_not_found")
	learnt := l.reads() - before
	l.all(2000, func(reader int) int64 { return 4 + int64(reader) }, "book_not_found")
	if reads := l.reads() - before - learnt; reads != 0 || learnt > 4 {
		t.Errorf("%d reads of the database for 2,000 ids that there are not, %d for the first ones", reads, learnt)
	}
	// A book that is added is there, whoever read its id before.
	added, err := l.store.Create(t.Context(), books.Draft{
		Entry: books.Entry{Title: "Ur", Authors: []string{"Anon"}, PriceCents: 0, Currency: "EUR"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range l.gateways {
		g.Raise([]coherence.Floor{{BookID: added.ID, Version: 1, StockVersion: 1}})
	}
	l.all(10, func(int) int64 { return added.ID }, "Ur 1.1")
}
