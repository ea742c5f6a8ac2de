package bookspg_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant/participanttest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// testStore is a store over a database of its own.
type testStore struct {
	*bookspg.Store
	t    *testing.T
	pool *pgxpool.Pool
}

func open(t *testing.T) *testStore {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, bookspg.Migrations)
	return &testStore{bookspg.New(pool), t, pool}
}

func draft(n int, quantity int64) books.Draft {
	return books.Draft{
		Entry: books.Entry{
			SourceID: fmt.Sprint("s-", n), Title: fmt.Sprint("Book ", n), Authors: []string{"A", "B"},
			PriceCents: int64(100 * n), Currency: "EUR",
		},
		Quantity: quantity,
	}
}

// add creates books 1, 2, … with these quantities, at 100, 200, … cents.
func (s *testStore) add(quantities ...int64) {
	s.t.Helper()
	for i, quantity := range quantities {
		if _, err := s.Create(context.Background(), draft(i+1, quantity)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// number runs a query for one number.
func (s *testStore) number(sql string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// balanced requires that each stock is the sum of its movements.
func (s *testStore) balanced() {
	s.t.Helper()
	if off := s.number(`
		select count(*) from stock s where quantity <>
			(select coalesce(sum(delta), 0) from stock_movements m where m.book_id = s.book_id)`); off != 0 {
		s.t.Errorf("%d books whose stock is not the sum of its movements", off)
	}
}

func (s *testStore) left(id int64) int64 {
	s.t.Helper()
	return s.number("select quantity from stock where book_id = $1", id)
}

func wantKind(t *testing.T, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v, want %s", err, kind)
	}
	return fault.As(err)
}

func TestTheDatabaseBeingAwayIsUnknownNotRefused(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	store := bookspg.New(server.Database(t, bookspg.Migrations))
	if _, err := store.Create(context.Background(), draft(1, 1)); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	_, err := store.Adjust(context.Background(), 1, -1)
	if !fault.Unknown(err) {
		t.Errorf("got %v", err)
	}
}

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, bookspg.Migrations, "branch_markers", "step_markers")
}
