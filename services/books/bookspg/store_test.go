package bookspg_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/kinds"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// shelf is a store over a database of its own.
type shelf struct {
	*bookspg.Store
	t    *testing.T
	pool *pgxpool.Pool
}

func open(t *testing.T) *shelf {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, bookspg.Migrations)
	return &shelf{bookspg.New(pool), t, pool}
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
func (s *shelf) add(quantities ...int64) {
	s.t.Helper()
	for i, quantity := range quantities {
		if _, err := s.Create(context.Background(), draft(i+1, quantity)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// number runs a query for one number.
func (s *shelf) number(sql string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// balanced checks the ledger's equation: each stock is the sum of its movements.
func (s *shelf) balanced() {
	s.t.Helper()
	if off := s.number(`
		select count(*) from stock s where quantity <>
			(select coalesce(sum(delta), 0) from stock_movements m where m.book_id = s.book_id)`); off != 0 {
		s.t.Errorf("%d books whose stock is not the sum of its movements", off)
	}
}

func (s *shelf) left(id int64) int64 {
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

func TestImportsOfOneNewBookAtOnceMakeOne(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	created := make([]bool, 8)
	for i := range created {
		wg.Go(func() {
			result, err := s.PutBySource(context.Background(), books.SourceDraft{Draft: draft(1, 5)})
			if err != nil {
				t.Error(err)
			}
			created[i] = result.Created
		})
	}
	wg.Wait()
	count := 0
	for _, c := range created {
		if c {
			count++
		}
	}
	if n := s.number("select count(*) from books"); n != 1 || count != 1 {
		t.Errorf("%d books, %d times created", n, count)
	}
	s.balanced()
}

func TestAnImportThatTakesAnothersISBNIsRefused(t *testing.T) {
	s := open(t)
	owner := draft(1, 1)
	owner.ISBN = "0141439580"
	if _, err := s.Create(context.Background(), owner); err != nil {
		t.Fatal(err)
	}
	thief := draft(2, 1)
	thief.ISBN = owner.ISBN
	_, err := s.PutBySource(context.Background(), books.SourceDraft{Draft: thief})
	if f := wantKind(t, err, fault.InvalidField); f.Fields[0].Field != "isbn" {
		t.Errorf("got %v", f.Fields)
	}
}

func TestConcurrentEditsOfOneVersionLoseNothing(t *testing.T) {
	s := open(t)
	s.add(1)
	version := int64(1)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Edit(context.Background(), 1, &version, func(e books.Entry) (books.Entry, error) {
				e.Title = fmt.Sprint("Edit ", i)
				return e, nil
			})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantKind(t, err, fault.VersionMismatch)
	}
	if won != 1 {
		t.Errorf("%d edits of one version won", won)
	}
}

func TestReadsOfWhatIsNotThere(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	_, err := s.Get(ctx, 1)
	wantKind(t, err, kinds.BookNotFound)
	_, err = s.Available(ctx, 1)
	wantKind(t, err, kinds.BookNotFound)
	wantKind(t, s.Delete(ctx, 1, nil), kinds.BookNotFound)
	s.add(1)
	if err := s.Delete(ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(ctx, 1)
	wantKind(t, err, kinds.BookGone)
	wantKind(t, s.Delete(ctx, 1, nil), kinds.BookGone)
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
