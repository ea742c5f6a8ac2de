//go:build drill

package drills

import (
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/shoptest/cluster"
)

// requireMoney: each payment's ledger is zero in sum, nothing is held, and the merchant has
// been paid for the orders that are paid, and for no others.
func (c *customers) requireMoney(t *testing.T) {
	t.Helper()
	conn := cluster.Leader(t, "paymentdb")
	if wrong := cluster.Number(t, conn, `select count(*) from (select from ledger_entries group by payment_id having sum(cents) <> 0) w`); wrong > 0 {
		t.Errorf("the ledgers of %d payments are not zero", wrong)
	}
	earned, due := map[string]int64{}, map[string]int64{}
	var order, account string
	var cents int64
	scan(t, conn, `select p.order_id::text, e.account, sum(e.cents)::bigint from ledger_entries e join payments p on p.id = e.payment_id
		where p.order_id::text = any($1) group by 1, 2 having sum(e.cents) <> 0`, c.wanted(t), []any{&order, &account, &cents}, func() {
		switch account {
		case "held":
			t.Errorf("%d cents of order %s are held", cents, order)
		case "merchant":
			earned[order] = cents
		}
	})
	price := map[int64]int64{}
	for _, id := range c.books {
		price[id] = c.shop.GetBook(t, id).PriceCents
	}
	for id, b := range c.orders {
		if b.status == "paid" {
			for _, i := range b.items {
				due[id] += i.Quantity * price[i.BookID]
			}
		}
	}
	if !maps.Equal(earned, due) {
		t.Errorf("the merchant has %d payments, %d are due: %v and %v", len(earned), len(due), earned, due)
	}
}

// wanted are the orders that the customers' checkouts, made or not.
func (c *customers) wanted(t *testing.T) (orders []string) {
	t.Helper()
	var id string
	scan(t, cluster.Leader(t, "coordinatordb"), `select data->'order'->>'id' from sagas
		where definition = 'checkout' and starts_with(data->'order'->>'customerId', $1)`, c.name, []any{&id}, func() {
		orders = append(orders, id)
	})
	return orders
}

// requireMovements: the movements of each gid and saga belong to an order of the customers',
// and are together its lines if it stands, and nothing if it does not.
func (c *customers) requireMovements(t *testing.T) {
	t.Helper()
	of := map[string]string{} // the order of each gid and saga
	var key, order string
	for _, sql := range []string{
		"select gid, payload->>'orderId' from transactions where state = 'committed' and created_at > now() - $1::interval",
		"select id::text, coalesce(data->'order'->>'id', data->>'orderId', '') from sagas where created_at > now() - $1::interval",
	} {
		scan(t, cluster.Leader(t, "coordinatordb"), sql, "1 hour", []any{&key, &order}, func() { of[key] = order })
	}
	type line struct {
		order string
		book  int64
	}
	moved, sold := map[line]int64{}, map[line]int64{}
	var book, delta int64
	scan(t, cluster.Leader(t, "bookdb"), `select coalesce(gid, saga), book_id, delta from stock_movements
		where book_id = any($1) and cause <> 'initial'`, c.books, []any{&key, &book, &delta}, func() {
		if of[key] == "" {
			t.Errorf("%s moved %d of book %d and is not committed", key, delta, book)
		}
		if at := (line{of[key], book}); moved[at]+delta == 0 {
			delete(moved, at)
		} else {
			moved[at] += delta
		}
	})
	for id, b := range c.orders {
		for _, i := range b.items {
			if b.status == "placed" || b.status == "paid" {
				sold[line{id, i.BookID}] = -i.Quantity
			}
		}
	}
	if !maps.Equal(moved, sold) {
		t.Errorf("%d lines of orders moved copies, %d are sold", len(moved), len(sold))
		for at, n := range moved {
			if sold[at] != n {
				t.Errorf("%+v: moved %d, sold %d", at, n, sold[at])
			}
		}
		for at, n := range sold {
			if moved[at] != n {
				t.Errorf("%+v: sold %d, moved %d", at, n, moved[at])
			}
		}
	}
}

// explainCheckouts adds to the history what checkouts did to the books: customers saw only the final state, the
// ledger shows whether copies were reserved meanwhile.
func (c *customers) explainCheckouts(t *testing.T) {
	t.Helper()
	reserved := map[string]bool{}
	var saga string
	scan(t, cluster.Leader(t, "bookdb"), "select distinct saga from stock_movements where cause = 'checkout' and book_id = any($1)", c.books, []any{&saga}, func() {
		reserved[saga] = true
	})
	for _, s := range c.sagas {
		if s.state == "completed" && !reserved[s.id] {
			t.Errorf("checkout %s is completed and took no copies", s.id)
		}
		for _, i := range s.items {
			did := act{kind: "take", n: i.Quantity, who: s.who, began: s.began, ended: s.ended}
			if reserved[s.id] {
				c.history.add(i.BookID, did)
			}
			if did.kind = "give"; reserved[s.id] && s.state != "completed" {
				c.history.add(i.BookID, did)
			}
		}
	}
}

// scan runs a query of one parameter and calls each for its rows.
func scan(t *testing.T, conn *pgx.Conn, sql string, arg any, into []any, each func()) {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, arg)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { each(); return nil })
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
