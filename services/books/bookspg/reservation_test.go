package bookspg_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// apply runs Branch in a transaction and commits it.
func (s *testStore) apply(gid string, action books.Action, lines ...books.Line) error {
	return pg.InTx(context.Background(), s.pool, func(tx pgx.Tx) error {
		return bookspg.Branch.Apply(context.Background(), tx, gid, books.Reservation{Action: action, OrderID: "o", Lines: lines})
	})
}

func line(id, quantity, price int64) books.Line {
	return books.Line{BookID: id, Quantity: quantity, UnitPriceCents: price}
}

func TestReserveTakesAllLinesAndRestockReturnsThem(t *testing.T) {
	s := open(t)
	s.add(5, 5)
	lines := []books.Line{line(2, 3, 200), line(1, 5, 100)}
	if err := s.apply("g1", books.Reserve, lines...); err != nil {
		t.Fatal(err)
	}
	if s.left(1) != 0 || s.left(2) != 2 {
		t.Errorf("left %d and %d", s.left(1), s.left(2))
	}
	if n := s.number("select sum(delta) from stock_movements where gid = 'g1' and cause = 'order'"); n != -8 {
		t.Errorf("the ledger says %d", n)
	}
	if err := s.Delete(context.Background(), 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.apply("g2", books.Restock, line(1, 5, 1), line(2, 3, 1)); err != nil { // book 1 is deleted, and restock ignores prices
		t.Fatal(err)
	}
	if s.left(1) != 5 || s.left(2) != 5 {
		t.Errorf("left %d and %d", s.left(1), s.left(2))
	}
	s.balanced()
}

func TestAnOrderIsRefusedWholeAndByName(t *testing.T) {
	s := open(t)
	s.add(5, 2, 1, 9)
	if err := s.Delete(context.Background(), 4, nil); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		lines []books.Line
		kind  fault.Kind
		books []map[string]any
	}{
		"too few": {
			[]books.Line{line(1, 1, 100), line(2, 3, 200), line(3, 2, 300)}, kinds.OutOfStock,
			[]map[string]any{{"bookId": int64(2), "available": int64(2)}, {"bookId": int64(3), "available": int64(1)}},
		},
		"another price": {
			[]books.Line{line(1, 1, 99), line(2, 1, 200)}, kinds.PriceChanged,
			[]map[string]any{{"bookId": int64(1), "unitPriceCents": int64(100)}},
		},
		"gone":    {[]books.Line{line(4, 1, 400), line(2, 99, 200)}, kinds.BookGone, []map[string]any{{"bookId": int64(4)}}},
		"unknown": {[]books.Line{line(4, 1, 400), line(77, 1, 1)}, kinds.BookNotFoundInOrder, []map[string]any{{"bookId": int64(77)}}},
	}
	for name, c := range cases {
		f := wantKind(t, s.apply("g", books.Reserve, c.lines...), c.kind)
		if got := fmt.Sprint(f.Details["books"]); got != fmt.Sprint(c.books) {
			t.Errorf("%s: got %s, want %v", name, got, c.books)
		}
	}
	wantKind(t, s.apply("g", books.Restock, line(1, 1, 0), line(77, 1, 0)), kinds.BookNotFoundInOrder)
	wantKind(t, s.apply("g", "steal", line(1, 1, 0)), fault.InvalidField)
	if n := s.number("select count(*) from stock_movements where gid is not null"); n != 0 || s.left(1) != 5 {
		t.Errorf("%d movements of refused orders, %d left", n, s.left(1))
	}
}

func TestOrdersInOppositeDirectionsNeverDeadlock(t *testing.T) {
	s := open(t)
	s.add(1000, 1000, 1000)
	forth := []books.Line{line(1, 1, 100), line(2, 1, 200), line(3, 1, 300)}
	back := slices.Clone(forth)
	slices.Reverse(back)
	var wg sync.WaitGroup
	for i := range 8 {
		lines := forth
		if i%2 == 1 {
			lines = back
		}
		wg.Go(func() {
			for j := range 10 {
				if err := s.apply(fmt.Sprintf("g%dx%d", i, j), books.Reserve, lines...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s.left(1) != 920 || s.left(3) != 920 {
		t.Errorf("left %d and %d", s.left(1), s.left(3))
	}
	s.balanced()
}

// hold locks book 1's stock until the test ends, or for a second: then idle_in_transaction_session_timeout ends the session.
func (s *testStore) hold() {
	s.t.Helper()
	ctx := context.Background()
	holder, err := s.pool.Begin(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = holder.Rollback(ctx) })
	if _, err := holder.Exec(ctx, "select from stock where book_id = 1 for update"); err != nil {
		s.t.Fatal(err)
	}
}

func TestAnOrderForAHeldBookIsContended(t *testing.T) {
	s := open(t)
	s.add(5)
	s.hold()
	wantKind(t, s.apply("g", books.Reserve, line(1, 1, 100)), fault.Contended)
}

// saga is the books steps of one saga.
type saga struct {
	*participant.Participant
	id string
}

func (s *testStore) saga() saga {
	return saga{participant.New(s.pool, "books", slog.New(slog.DiscardHandler), nil), uuid.Must(uuid.NewV7()).String()}
}

func (g saga) key(name string) participant.Key { return participant.Key{Saga: g.id, Step: name} }

func (g saga) reserve(lines ...books.Line) error {
	r := books.Reservation{Action: books.Reserve, OrderID: "o", Lines: lines}
	_, err := bookspg.ReserveStock.Handler(g.Participant).Do(context.Background(), g.key("reserve_stock"), r)
	return err
}

func (g saga) restock(lines ...books.Line) error {
	r := books.Reservation{Action: books.Restock, OrderID: "o", Lines: lines}
	_, err := bookspg.Restock.Handler(g.Participant).Do(context.Background(), g.key("restock"), r)
	return err
}

func (g saga) release() error {
	return bookspg.ReserveStock.Handler(g.Participant).Undo(context.Background(), g.key("reserve_stock"))
}

// retryContended repeats a call while it is contended.
func retryContended(call func() error) error {
	for {
		if err := call(); err == nil || fault.KindOf(err) != fault.Contended {
			return err
		}
	}
}

func TestACheckoutTakesItsCopiesOnceAndReleasesThemOnce(t *testing.T) {
	s := open(t)
	s.add(5, 5)
	g := s.saga()
	lines := []books.Line{line(2, 3, 200), line(1, 5, 100)}
	for range 2 {
		if err := g.reserve(lines...); err != nil {
			t.Fatal(err)
		}
	}
	if s.left(1) != 0 || s.left(2) != 2 {
		t.Errorf("left %d and %d", s.left(1), s.left(2))
	}
	const moved = "select coalesce(sum(delta), 0) from stock_movements where saga = $1 and step = 'reserve_stock' and cause = $2"
	if n := s.number(moved, g.id, "checkout"); n != -8 {
		t.Errorf("the ledger says %d", n)
	}
	s.balanced()
	// The undo leaves another checkout of the same books alone.
	other := s.saga()
	if err := other.reserve(line(2, 1, 200)); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(context.Background(), 1, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.release(); err != nil {
			t.Fatal(err)
		}
	}
	if s.left(1) != 5 || s.left(2) != 4 {
		t.Errorf("left %d and %d", s.left(1), s.left(2))
	}
	if n := s.number(moved, g.id, "release"); n != 8 {
		t.Errorf("the ledger says %d", n)
	}
	wantKind(t, g.reserve(lines...), fault.Aborted)
	s.balanced()
}

func TestACheckoutIsRefusedAsAnOrderIsAndForGood(t *testing.T) {
	s := open(t)
	s.add(5, 2)
	g := s.saga()
	f := wantKind(t, g.reserve(line(1, 1, 100), line(2, 3, 200)), kinds.OutOfStock)
	if got := fmt.Sprint(f.Details["books"]); got != "[map[available:2 bookId:2]]" {
		t.Errorf("got %s", got)
	}
	if _, err := s.Adjust(context.Background(), 2, 10); err != nil {
		t.Fatal(err)
	}
	wantKind(t, g.reserve(line(1, 1, 100), line(2, 3, 200)), kinds.OutOfStock)
	if err := g.release(); err != nil {
		t.Fatal(err)
	}
	f = wantKind(t, s.saga().reserve(line(1, 1, 99)), kinds.PriceChanged)
	if got := fmt.Sprint(f.Details["books"]); got != "[map[bookId:1 unitPriceCents:100]]" {
		t.Errorf("got %s", got)
	}
	wantKind(t, s.saga().reserve(line(77, 1, 1)), kinds.BookNotFoundInOrder)
	wantKind(t, s.saga().reserve(), fault.InvalidField)
	if n := s.number("select count(*) from stock_movements where saga is not null"); n != 0 || s.left(1) != 5 {
		t.Errorf("%d movements of refused checkouts, %d left", n, s.left(1))
	}
}

func TestAHeldBookIsNoOutcomeOfACheckout(t *testing.T) {
	s := open(t)
	s.add(5)
	s.hold()
	g := s.saga()
	wantKind(t, g.reserve(line(1, 2, 100)), fault.Contended)
	// idle_in_transaction_session_timeout ends the session that holds the lock.
	if err := retryContended(func() error { return g.reserve(line(1, 2, 100)) }); err != nil {
		t.Fatal(err)
	}
	if s.left(1) != 3 {
		t.Errorf("left %d", s.left(1))
	}
}

func TestAReturnPutsCopiesBackOnce(t *testing.T) {
	s := open(t)
	s.add(5, 5)
	if err := s.Delete(context.Background(), 1, nil); err != nil {
		t.Fatal(err)
	}
	g := s.saga()
	for range 2 {
		if err := g.restock(line(1, 2, 0), line(2, 1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if s.left(1) != 7 || s.left(2) != 6 {
		t.Errorf("left %d and %d", s.left(1), s.left(2))
	}
	if n := s.number("select sum(delta) from stock_movements where saga = $1 and step = 'restock' and cause = 'return'", g.id); n != 3 {
		t.Errorf("the ledger says %d", n)
	}
	s.balanced()
}

// Checkouts and orders take from the same testStore, in opposite directions, each
// asked for more than once; every third checkout is given up meanwhile.
func TestCheckoutsAndOrdersAtOnceSellEachCopyOnce(t *testing.T) {
	s := open(t)
	s.add(40, 40)
	forth, back := []books.Line{line(1, 1, 100), line(2, 1, 200)}, []books.Line{line(2, 1, 200), line(1, 1, 100)}
	var all sync.WaitGroup
	run := func(allowed fault.Kind, call func() error) {
		all.Go(func() {
			if err := retryContended(call); err != nil && fault.KindOf(err) != allowed && fault.KindOf(err) != kinds.OutOfStock {
				t.Error(err)
			}
		})
	}
	for i := range 30 {
		g := s.saga()
		run(fault.Aborted, func() error { return g.reserve(forth...) })
		run(fault.Aborted, func() error { return g.reserve(forth...) })
		if i%3 == 0 {
			run("", g.release)
		}
		run("", func() error { return s.apply(fmt.Sprint("g", i), books.Reserve, back...) })
	}
	all.Wait()
	s.balanced()
	sold := s.number("select count(*) from step_markers where state = 'done'") + s.number("select count(distinct gid) from stock_movements")
	if left := s.left(1); left != 40-sold || left != s.left(2) {
		t.Errorf("%d sold of 40, %d and %d left", sold, left, s.left(2))
	}
	if n := s.number("select count(*) from (select 1 from stock_movements where saga is not null group by saga, book_id having sum(delta) not in (-1, 0) or count(*) > 2) m"); n != 0 {
		t.Errorf("%d sagas moved a book wrongly", n)
	}
}

func TestTheLedgerSaysWhereEachMovementComesFrom(t *testing.T) {
	s := open(t)
	s.add(5)
	for name, values := range map[string]string{
		"unknown cause":       "'theft', null, null, null",
		"order without gid":   "'order', null, null, null",
		"order of a saga":     "'order', 'g', 's', 'x'",
		"adjustment of a gid": "'adjust', 'g', null, null",
		"first of a saga":     "'initial', null, 's', 'x'",
		"checkout of a gid":   "'checkout', 'g', null, null",
		"release of nothing":  "'release', null, null, null",
		"return without step": "'return', null, 's', null",
		"step without saga":   "'adjust', null, null, 'x'",
	} {
		_, err := s.pool.Exec(context.Background(), "insert into stock_movements (book_id, delta, cause, gid, saga, step) values (1, 1, "+values+")")
		if pg.Code(err) != "23514" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkOrder measures what the triggers of the outbox add to an order of three books.
func BenchmarkOrder(b *testing.B) {
	for _, triggers := range []string{"enable", "disable"} {
		b.Run("triggers="+triggers, func(b *testing.B) {
			ctx, pool := context.Background(), pgtest.Database(b, bookspg.Migrations)
			store := bookspg.New(pool)
			for n := range 300 {
				if _, err := store.Create(ctx, draft(n+1, 1_000_000)); err != nil {
					b.Fatal(err)
				}
			}
			for _, table := range []string{"books", "stock"} {
				if _, err := pool.Exec(ctx, "alter table "+table+" "+triggers+" trigger user"); err != nil {
					b.Fatal(err)
				}
			}
			for n := 0; b.Loop(); n++ {
				ids := []int64{int64(1 + n%100), int64(101 + n%100), int64(201 + n%100)}
				r := books.Reservation{Action: books.Reserve, OrderID: "o"}
				for _, id := range ids {
					r.Lines = append(r.Lines, line(id, 1, 100*id))
				}
				err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return bookspg.Branch.Apply(ctx, tx, fmt.Sprint("g", n), r) })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
