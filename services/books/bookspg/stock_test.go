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
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

func TestEveryChangeOfStockIsInTheLedger(t *testing.T) {
	s := open(t)
	s.add(5, 0)
	ctx := context.Background()
	for _, delta := range []int64{3, -8, 1} {
		if _, err := s.Adjust(ctx, 1, delta); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Adjust(ctx, 1, -2)
	wantKind(t, err, kinds.OutOfStock)
	s.balanced()
	if n := s.number("select count(*) from stock_movements where cause = 'adjust'"); n != 3 {
		t.Errorf("%d adjustments in the ledger", n)
	}
	if n := s.number("select version from stock where book_id = 1"); n != 4 {
		t.Errorf("stock version %d", n)
	}
}

func TestStockHasAnUpperBound(t *testing.T) {
	s := open(t)
	s.add(1_000_000)
	if _, err := s.pool.Exec(context.Background(), "update stock set quantity = 1000000000"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Adjust(context.Background(), 1, 1)
	wantKind(t, err, fault.InvalidField)
}

func TestConcurrentAdjustmentsSellEachCopyOnce(t *testing.T) {
	s := open(t)
	s.add(7)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Adjust(context.Background(), 1, -1)
		})
	}
	wg.Wait()
	sold := 0
	for _, err := range errs {
		if err == nil {
			sold++
			continue
		}
		wantKind(t, err, kinds.OutOfStock)
	}
	if sold != 7 || s.left(1) != 0 {
		t.Errorf("%d sold, %d left of 7", sold, s.left(1))
	}
	s.balanced()
}

func TestAnAdjustmentOfAHeldBookIsContended(t *testing.T) {
	s := open(t)
	s.add(5)
	s.hold()
	_, err := s.Adjust(context.Background(), 1, 1)
	wantKind(t, err, fault.Contended)
}

// While a hundred requests wait for a row that a prepared branch locks, the commit that releases it gets a connection at once.
func TestACommitGetsAConnectionWhileOthersWait(t *testing.T) {
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
	s := &testStore{bookspg.New(pool).Sharing(slots), t, pool}
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
