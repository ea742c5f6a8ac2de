package orderspg_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/orders"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanttest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// shop is an orders service's database.
type shop struct {
	*orderspg.Store
	t           *testing.T
	pool        *pgxpool.Pool
	participant *participant.Participant
}

func newShop(t *testing.T) shop {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, orderspg.Migrations)
	return shop{orderspg.New(pool), t, pool, participant.New(pool, "orders", slog.New(slog.DiscardHandler), nil)}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func newOrder(customer string, at time.Time) orders.Order {
	return orders.Order{
		ID: uuid.Must(uuid.NewV7()).String(), CustomerID: customer, TotalCents: 2997, Currency: "EUR", CreatedAt: at,
		Items: []orders.Item{
			{BookID: 7, Title: "Emma", Quantity: 1, UnitPriceCents: 999},
			{BookID: 3, Title: "Walden", Quantity: 2, UnitPriceCents: 999},
		},
	}
}

// change runs a change as a whole transaction of its own.
func (s shop) change(c orders.Change) error {
	s.t.Helper()
	ctx := context.Background()
	m := participant.Message{GID: strings.ToLower(rand.Text()), Branch: "orders", Deadline: time.Now().Add(time.Minute)}
	work := func(ctx context.Context, tx pgx.Tx) error { return orderspg.Branch.Apply(ctx, tx, m.GID, c) }
	if err := s.participant.Prepare(ctx, m, work); err != nil {
		return err
	}
	return s.participant.Commit(ctx, m)
}

func (s shop) place(o orders.Order) {
	s.t.Helper()
	if err := s.change(orders.Change{Action: orders.Place, Order: o}); err != nil {
		s.t.Fatal(err)
	}
}

func (s shop) get(id string) orders.Order {
	s.t.Helper()
	o, err := s.Get(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestAPlacedOrderReadsBackWhole(t *testing.T) {
	s, want := newShop(t), newOrder("c-1", noon)
	s.place(want)
	want.Status, want.Version = orders.Placed, 1
	want.CreatedAt = noon.Truncate(time.Microsecond)
	want.UpdatedAt = want.CreatedAt
	if got := s.get(want.ID); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := s.Get(context.Background(), uuid.NewString()); fault.KindOf(err) != kinds.OrderNotFound {
		t.Errorf("an unknown order: %v", err)
	}
}

func TestTheDatabaseHoldsTheRules(t *testing.T) {
	s, o := newShop(t), newOrder("c-1", noon)
	s.place(o)
	const other = "insert into orders (id, customer_id, status, total_cents, currency, created_at, updated_at) values " +
		"('019aaf00-0000-7000-8000-000000000001', 'c', 'placed', 5, 'EUR', now(), now())"
	cases := map[string]string{
		"status":     "update orders set status = 'lost'",
		"version":    "update orders set version = 0",
		"currency":   "update orders set currency = 'euro'",
		"time":       "update orders set updated_at = created_at - interval '1 s'",
		"quantity":   "insert into order_items values ('" + o.ID + "', 3, 9, 'x', 0, 1)",
		"total":      "with o as (" + other + " returning id) insert into order_items select id, 1, 1, 'x', 1, 4 from o",
		"same lines": "update order_items set quantity = 5",
		"all lines":  "delete from order_items",
	}
	for name, sql := range cases {
		if _, err := s.pool.Exec(context.Background(), sql); pg.Code(err) != "23514" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListGoesFromNewestToOldestWithoutRepeats(t *testing.T) {
	s := newShop(t)
	var want []string
	for i := range 7 {
		// Three of them are of the same moment.
		o := newOrder([]string{"ann", "bob"}[i%2], noon.Add(time.Duration(max(i, 2))*time.Second))
		s.place(o)
		want = append(want, o.ID)
	}
	slices.Reverse(want)
	if err := s.change(orders.Change{Action: orders.Cancel, OrderID: want[0], At: noon.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	check := func(name string, f orders.Filter, want []string) {
		t.Helper()
		if got := s.all(f); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, want)
		}
	}
	check("all", orders.Filter{Limit: 3}, want)
	check("one page", orders.Filter{Limit: 100}, want)
	check("ann", orders.Filter{Limit: 2, CustomerID: "ann"}, []string{want[0], want[2], want[4], want[6]})
	check("cancelled", orders.Filter{Limit: 2, Status: orders.Cancelled}, want[:1])
	check("ann placed", orders.Filter{Limit: 1, CustomerID: "ann", Status: orders.Placed}, []string{want[2], want[4], want[6]})
	check("nobody", orders.Filter{Limit: 2, CustomerID: "eve"}, nil)
}

// all reads every page. An order that is placed in between is newer than all pages.
func (s shop) all(f orders.Filter) (ids []string) {
	s.t.Helper()
	for {
		page, next, err := s.List(context.Background(), f)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		if next == nil {
			return ids
		}
		f.After = next
	}
}

func TestATokenThatIsNoneIsRefused(t *testing.T) {
	s := newShop(t)
	_, _, err := s.List(context.Background(), orders.Filter{Limit: 1, Token: "nonsense"})
	if fault.KindOf(err) != fault.MalformedRequest {
		t.Errorf("got %v", err)
	}
	_, _, err = s.List(context.Background(), orders.Filter{Limit: 1, Token: pg.Position{LSN: 1}.String()})
	if err != nil {
		t.Error(err)
	}
}

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, orderspg.Migrations, "branch_markers", "step_markers")
}
