package orderspg_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/orders"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// saga is the orders' part of one saga about one order.
type saga struct {
	*participant.Participant
	id    string
	order orders.Order
}

func (s shop) saga(o orders.Order) saga {
	return saga{s.participant, uuid.Must(uuid.NewV7()).String(), o}
}

func (g saga) key(name string) participant.Key { return participant.Key{Saga: g.id, Step: name} }

func (g saga) create() error {
	_, err := orderspg.CreateOrder.Handler(g.Participant).Do(context.Background(), g.key("create_order"), g.order)
	return err
}

func (g saga) giveUp() error {
	return orderspg.CreateOrder.Handler(g.Participant).Undo(context.Background(), g.key("create_order"))
}

func (g saga) takeBack() error {
	_, err := orderspg.MarkReturned.Handler(g.Participant).Do(context.Background(), g.key("mark_returned"), g.order.ID)
	return err
}

func (g saga) keep() error {
	return orderspg.MarkReturned.Handler(g.Participant).Undo(context.Background(), g.key("mark_returned"))
}

// is checks where an order stands.
func (s shop) is(id string, status orders.Status, version int64) {
	s.t.Helper()
	if got := s.get(id); got.Status != status || got.Version != version || got.UpdatedAt.Before(got.CreatedAt) {
		s.t.Errorf("got %+v, want %s at version %d", got, status, version)
	}
}

func (s shop) must(what string, err error, want fault.Kind) {
	s.t.Helper()
	if (err == nil) != (want == "") || (err != nil && fault.KindOf(err) != want) {
		s.t.Fatalf("%s: got %v, want %q", what, err, want)
	}
}

func TestACheckoutCreatesAPaidOrderOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	checkout := s.saga(o)
	for range 2 {
		s.must("create", checkout.create(), "")
	}
	s.is(o.ID, orders.Paid, 1)
	if got := s.get(o.ID); len(got.Items) != 2 || got.TotalCents != o.TotalCents {
		t.Errorf("got %+v", got)
	}
	s.must("cancel", s.change(orders.Change{Action: orders.Cancel, OrderID: o.ID, At: noon}), kinds.NotCancellable)
	for range 2 {
		s.must("undo", checkout.giveUp(), "")
	}
	s.is(o.ID, orders.Cancelled, 2)
	s.must("late create", checkout.create(), fault.Aborted)
}

func TestABadOrderOfACheckoutIsRefusedForGood(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	o.TotalCents++
	bad := s.saga(o)
	for range 2 {
		s.must("create", bad.create(), fault.InvalidField)
	}
	s.must("undo", bad.giveUp(), "")
	if _, err := s.Get(context.Background(), o.ID); fault.KindOf(err) != kinds.OrderNotFound {
		t.Errorf("got %v", err)
	}
}

func TestAnOrdersIDIsTakenOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.must("create", s.saga(o).create(), "")
	s.must("another checkout", s.saga(o).create(), fault.InvalidField)
	s.must("a transaction", s.change(orders.Change{Action: orders.Place, Order: o}), fault.InvalidField)
	s.is(o.ID, orders.Paid, 1)
}

func TestAReturnTakesAPaidOrderOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	checkout := s.saga(o)
	s.must("create", checkout.create(), "")
	first, second := s.saga(o), s.saga(o)
	for range 2 {
		s.must("return", first.takeBack(), "")
	}
	s.is(o.ID, orders.Returned, 2)
	for range 2 {
		err := second.takeBack()
		s.must("second return", err, kinds.NotReturnable)
		if fault.As(err).Message != "the order is returned" {
			t.Errorf("got %+v", fault.As(err))
		}
	}
	s.must("undo of the second", second.keep(), "")
	s.is(o.ID, orders.Returned, 2)
	s.must("undo of a checkout that is long over", checkout.giveUp(), kinds.NotCancellable)
	for range 2 {
		s.must("undo", first.keep(), "")
	}
	s.is(o.ID, orders.Paid, 3)
	s.must("late return", first.takeBack(), fault.Aborted)
	s.must("another return", s.saga(o).takeBack(), "")
	s.is(o.ID, orders.Returned, 4)
}

func TestOnlyPaidOrdersCanBeReturned(t *testing.T) {
	s, placed := newShop(t), newOrder("c-1", noon)
	s.place(placed)
	s.must("placed", s.saga(placed).takeBack(), kinds.NotReturnable)
	s.must("cancel", s.change(orders.Change{Action: orders.Cancel, OrderID: placed.ID, At: noon}), "")
	s.must("cancelled", s.saga(placed).takeBack(), kinds.NotReturnable)
	s.must("unknown", s.saga(newOrder("c-1", noon)).takeBack(), kinds.OrderNotFound)
	s.must("no id", s.saga(orders.Order{ID: "7"}).takeBack(), kinds.OrderNotFound)
}

func TestOfReturnsAtOnceOneTakesTheOrder(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.must("create", s.saga(o).create(), "")
	var all sync.WaitGroup
	var taken atomic.Int64
	for range 12 {
		all.Go(func() {
			g := s.saga(o)
			err := g.takeBack()
			for fault.KindOf(err) == fault.Contended && err != nil {
				err = g.takeBack()
			}
			switch {
			case err == nil:
				taken.Add(1)
			case fault.KindOf(err) != kinds.NotReturnable:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
	s.is(o.ID, orders.Returned, 2)
}
