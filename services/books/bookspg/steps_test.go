package bookspg_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// saga is the books' part of one saga.
type saga struct {
	*participant.Participant
	id string
}

func (s *shelf) saga() saga {
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

// patiently asks again for as long as others are in the way.
func patiently(call func() error) error {
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
	// Another checkout of the same books is none of its business.
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
	// The holder's session ends for being idle.
	if err := patiently(func() error { return g.reserve(line(1, 2, 100)) }); err != nil {
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

// Checkouts and orders take from the same shelf, in opposite directions, each
// asked for more than once; every third checkout is given up meanwhile.
func TestCheckoutsAndOrdersAtOnceSellEachCopyOnce(t *testing.T) {
	s := open(t)
	s.add(40, 40)
	forth, back := []books.Line{line(1, 1, 100), line(2, 1, 200)}, []books.Line{line(2, 1, 200), line(1, 1, 100)}
	var all sync.WaitGroup
	run := func(allowed fault.Kind, call func() error) {
		all.Go(func() {
			if err := patiently(call); err != nil && fault.KindOf(err) != allowed && fault.KindOf(err) != kinds.OutOfStock {
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
