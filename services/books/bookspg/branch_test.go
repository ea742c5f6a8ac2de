package bookspg_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/shop/kinds"
)

// apply does a branch's work and commits it, as the participant would.
func (s *shelf) apply(gid string, action books.Action, lines ...books.Line) error {
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
	if err := s.apply("g2", books.Restock, line(1, 5, 1), line(2, 3, 1)); err != nil { // gone, and other prices: no matter
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

// hold locks book 1's stock until the test ends or, since it does nothing
// more, idle_in_transaction_session_timeout lets go after a second.
func (s *shelf) hold() {
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

func TestAnAdjustmentOfAHeldBookIsContended(t *testing.T) {
	s := open(t)
	s.add(5)
	s.hold()
	_, err := s.Adjust(context.Background(), 1, 1)
	wantKind(t, err, fault.Contended)
}
