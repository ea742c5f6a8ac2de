package orderspg_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// saga is the orders steps of one saga about one order.
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

func (g saga) undoCreate() error {
	return orderspg.CreateOrder.Handler(g.Participant).Undo(context.Background(), g.key("create_order"))
}

func (g saga) markReturned() error {
	_, err := orderspg.MarkReturned.Handler(g.Participant).Do(context.Background(), g.key("mark_returned"), g.order.ID)
	return err
}

func (g saga) undoReturn() error {
	return orderspg.MarkReturned.Handler(g.Participant).Undo(context.Background(), g.key("mark_returned"))
}

// requireStatus requires an order's status and version.
func (s shop) requireStatus(id string, status orders.Status, version int64) {
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
	s.requireStatus(o.ID, orders.Paid, 1)
	if got := s.get(o.ID); len(got.Items) != 2 || got.TotalCents != o.TotalCents {
		t.Errorf("got %+v", got)
	}
	s.must("cancel", s.change(orders.Change{Action: orders.Cancel, OrderID: o.ID, At: noon}), kinds.NotCancellable)
	for range 2 {
		s.must("undo", checkout.undoCreate(), "")
	}
	s.requireStatus(o.ID, orders.Cancelled, 2)
	s.must("late create", checkout.create(), fault.Aborted)
}

func TestABadOrderOfACheckoutIsRefusedForGood(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	o.TotalCents++
	bad := s.saga(o)
	for range 2 {
		s.must("create", bad.create(), fault.InvalidField)
	}
	s.must("undo", bad.undoCreate(), "")
	if _, err := s.Get(context.Background(), o.ID); fault.KindOf(err) != kinds.OrderNotFound {
		t.Errorf("got %v", err)
	}
}

func TestAnOrdersIDIsTakenOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.must("create", s.saga(o).create(), "")
	s.must("another checkout", s.saga(o).create(), fault.InvalidField)
	s.must("a transaction", s.change(orders.Change{Action: orders.Place, Order: o}), fault.InvalidField)
	s.requireStatus(o.ID, orders.Paid, 1)
}

func TestAReturnTakesAPaidOrderOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	checkout := s.saga(o)
	s.must("create", checkout.create(), "")
	first, second := s.saga(o), s.saga(o)
	for range 2 {
		s.must("return", first.markReturned(), "")
	}
	s.requireStatus(o.ID, orders.Returned, 2)
	for range 2 {
		err := second.markReturned()
		s.must("second return", err, kinds.NotReturnable)
		if fault.As(err).Message != "the order is returned" {
			t.Errorf("got %+v", fault.As(err))
		}
	}
	s.must("undo of the second", second.undoReturn(), "")
	s.requireStatus(o.ID, orders.Returned, 2)
	s.must("undo of a checkout that is long over", checkout.undoCreate(), kinds.NotCancellable)
	for range 2 {
		s.must("undo", first.undoReturn(), "")
	}
	s.requireStatus(o.ID, orders.Paid, 3)
	s.must("late return", first.markReturned(), fault.Aborted)
	s.must("another return", s.saga(o).markReturned(), "")
	s.requireStatus(o.ID, orders.Returned, 4)
}

func TestOnlyPaidOrdersCanBeReturned(t *testing.T) {
	s, placed := newShop(t), newOrder("c-1", noon)
	s.place(placed)
	s.must("placed", s.saga(placed).markReturned(), kinds.NotReturnable)
	s.must("cancel", s.change(orders.Change{Action: orders.Cancel, OrderID: placed.ID, At: noon}), "")
	s.must("cancelled", s.saga(placed).markReturned(), kinds.NotReturnable)
	s.must("unknown", s.saga(newOrder("c-1", noon)).markReturned(), kinds.OrderNotFound)
	s.must("no id", s.saga(orders.Order{ID: "7"}).markReturned(), kinds.OrderNotFound)
}

func TestOfReturnsAtOnceOneTakesTheOrder(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.must("create", s.saga(o).create(), "")
	var all sync.WaitGroup
	var taken atomic.Int64
	for range 12 {
		all.Go(func() {
			g := s.saga(o)
			err := g.markReturned()
			for fault.KindOf(err) == fault.Contended && err != nil {
				err = g.markReturned()
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
	s.requireStatus(o.ID, orders.Returned, 2)
}

func TestPreparedOrdersAreNotSeen(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	ctx := context.Background()
	m := participant.Message{GID: strings.ToLower(rand.Text()), Branch: "orders", Deadline: time.Now().Add(time.Minute)}
	work := func(ctx context.Context, tx pgx.Tx) error {
		return orderspg.Branch.Apply(ctx, tx, m.GID, orders.Change{Action: orders.Place, Order: o})
	}
	if err := s.participant.Prepare(ctx, m, work); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, o.ID); fault.KindOf(err) != kinds.OrderNotFound {
		t.Errorf("got %v", err)
	}
	if err := s.participant.Abort(ctx, m); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, o.ID); fault.KindOf(err) != kinds.OrderNotFound {
		t.Errorf("got %v", err)
	}
}

func TestCancelOnce(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.place(o)
	cancel := orders.Change{Action: orders.Cancel, OrderID: o.ID, At: noon.Add(time.Hour)}
	if err := s.change(cancel); err != nil {
		t.Fatal(err)
	}
	got := s.get(o.ID)
	if got.Status != orders.Cancelled || got.Version != 2 || !got.UpdatedAt.Equal(noon.Add(time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("got %+v", got)
	}
	err := s.change(cancel)
	if fault.KindOf(err) != kinds.NotCancellable || fault.As(err).Message != "the order is cancelled" {
		t.Errorf("again: %v", err)
	}
	if again := s.get(o.ID); again.Version != 2 {
		t.Errorf("the second cancel changed the order: %+v", again)
	}
}

func TestOnlyPlacedOrdersCanBeCancelled(t *testing.T) {
	s := newShop(t)
	for _, status := range []orders.Status{orders.Paid, orders.Returned} {
		o := newOrder("c-1", noon)
		s.place(o)
		if _, err := s.pool.Exec(context.Background(), "update orders set status = $2 where id = $1", o.ID, status); err != nil {
			t.Fatal(err)
		}
		err := s.change(orders.Change{Action: orders.Cancel, OrderID: o.ID, At: noon})
		if fault.KindOf(err) != kinds.NotCancellable || fault.As(err).Message != "the order is "+string(status) {
			t.Errorf("%s: %v", status, err)
		}
	}
	for _, id := range []string{uuid.NewString(), "no-id"} {
		err := s.change(orders.Change{Action: orders.Cancel, OrderID: id, At: noon})
		if fault.KindOf(err) != kinds.OrderNotFound {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A cancel by a clock that is behind does not set updated_at back.
func TestCancelByASlowClock(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.place(o)
	if err := s.change(orders.Change{Action: orders.Cancel, OrderID: o.ID, At: noon.Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if got := s.get(o.ID); got.UpdatedAt.Before(got.CreatedAt) {
		t.Errorf("got %+v", got)
	}
}

func TestBadChangesAreRefused(t *testing.T) {
	s := newShop(t)
	twice := newOrder("c-1", noon)
	twice.Items[1].BookID = twice.Items[0].BookID
	cases := map[string]orders.Change{
		"no action":      {},
		"empty order":    {Action: orders.Place},
		"the same book":  {Action: orders.Place, Order: twice},
		"cancel no time": {Action: orders.Cancel, OrderID: uuid.NewString()},
	}
	for name, c := range cases {
		if err := s.change(c); fault.KindOf(err) != fault.InvalidField {
			t.Errorf("%s: %v", name, err)
		}
	}
}
