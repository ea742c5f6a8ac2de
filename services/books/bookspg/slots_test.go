package bookspg_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

// A hundred people change a book's stock while a prepared branch holds its row:
// the commit that frees it gets a connection at once.
func TestWhoFinishesABranchGetsAConnection(t *testing.T) {
	t.Parallel()
	const many, conns = 100, 8
	dsn := pgtest.DSN(t, bookspg.Migrations)
	pool, err := pg.Open(t.Context(), pg.Config{DSN: config.Secret(dsn), MaxConns: conns}, "books", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	watch, err := pgx.Connect(t.Context(), dsn) // beside the pool
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watch.Close(context.Background()) })
	slots := pg.NewSlots(pool)
	s := &shelf{bookspg.New(pool).Sharing(slots), t, pool}
	s.add(10)
	p := participant.New(pool, "books", slog.New(slog.DiscardHandler), nil, participant.Sharing(slots))
	m := participant.Message{
		GID: strings.ToLower(t.Name()), Branch: "books", Branches: []string{"books"}, Deadline: time.Now().Add(time.Minute),
	}
	err = p.Prepare(t.Context(), m, func(ctx context.Context, tx pgx.Tx) error {
		return bookspg.Branch.Apply(ctx, tx, m.GID, books.Reservation{Action: books.Reserve, OrderID: "o", Lines: []books.Line{line(1, 1, 100)}})
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var changed int64
	var mu sync.Mutex
	var changing sync.WaitGroup
	for i := range many {
		changing.Go(func() {
			var err error
			switch i % 2 {
			case 0:
				_, err = s.Adjust(ctx, 1, 1)
			default:
				key := books.Key{Caller: "c", Key: t.Name() + string(rune('a'+i)), RequestHash: []byte{1}}
				_, _, err = s.Once(ctx, key, func(ctx context.Context, inside books.Store) (books.Outcome, bool, error) {
					_, err := inside.Adjust(ctx, 1, 1)
					return books.Outcome{Status: 200}, false, err
				})
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				changed++
			} else if fault.KindOf(err) != fault.Contended {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	const waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
	for n := 0; n < conns*3/4; {
		if err := watch.QueryRow(ctx, waiting).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := p.Commit(ctx, m); err != nil {
		t.Errorf("commit: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the commit took %v", took)
	}
	changing.Wait()
	if left := s.left(1); left != 9+changed {
		t.Errorf("%d copies left after %d changes", left, changed)
	}
	s.balanced()
}
