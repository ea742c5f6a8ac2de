package equations_test

import (
	"database/sql"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"bookstore/warehouse/equations"
)

// A shop with an order, a cancelled one, and a checkout that is complete.
const shop = `
create schema bookdb; create schema orderdb; create schema paymentdb; create schema coordinatordb;
create table bookdb.stock (book_id bigint, quantity bigint);
create table bookdb.stock_movements (book_id bigint, delta bigint, gid varchar, saga varchar);
create table orderdb.orders (id uuid, status varchar, total_cents bigint);
create table orderdb.order_items (order_id uuid, book_id bigint, quantity bigint, unit_price_cents bigint);
create table paymentdb.payments (id uuid, key varchar, order_id uuid);
create table paymentdb.ledger_entries (payment_id uuid, cents bigint);
create table coordinatordb.transactions (gid varchar, kind varchar, state varchar, payload json);
create table coordinatordb.sagas (id uuid, definition varchar, state varchar);
create macro u(n) as cast(format('00000000-0000-0000-0000-{:012d}', n) as uuid);
insert into bookdb.stock values (1, 7);
insert into bookdb.stock_movements values (1, 10, null, null), (1, -1, 'placed', null), (1, -4, 'gone', null), (1, 4, 'back', null),
	(1, -2, null, u(9)), (1, -3, null, u(8)), (1, 3, null, u(8));
insert into orderdb.orders values (u(1), 'placed', 500), (u(2), 'cancelled', 2000), (u(3), 'paid', 1000);
insert into orderdb.order_items values (u(1), 1, 1, 500), (u(2), 1, 4, 500), (u(3), 1, 2, 500);
insert into coordinatordb.transactions values
	('placed', 'place_order', 'committed', json_object('orderId', u(1))), ('gone', 'place_order', 'committed', json_object('orderId', u(2))),
	('back', 'cancel_order', 'committed', json_object('orderId', u(2))), ('never', 'place_order', 'aborted', json_object('orderId', u(4)));
insert into coordinatordb.sagas values (u(9), 'checkout', 'completed'), (u(8), 'checkout', 'failed');
insert into paymentdb.payments values (u(7), u(9), u(3));
insert into paymentdb.ledger_entries values (u(7), 1000), (u(7), -1000);`

// Each equation is true of a shop in order, and is the one that says so when the shop is not.
func TestEquations(t *testing.T) {
	t.Parallel()
	for harm, want := range map[string][]string{
		"":                                       nil,
		"insert into bookdb.stock values (2, 5)": {"stock is the sum"},
		"update orderdb.order_items set quantity = 2, unit_price_cents = 250 where order_id = u(1)": {
			"has moved its order's lines: transaction placed of book 1", "orders that stand"},
		"delete from orderdb.order_items where order_id = u(1); delete from orderdb.orders where id = u(1)": {"there is no order", "orders that stand"},
		"update coordinatordb.transactions set state = 'aborted' where gid = 'placed'":                      {"transaction placed is aborted"},
		"update coordinatordb.sagas set state = 'cancelled' where id = u(9)":                                {"2 copies of book 1 are not back"},
		"update orderdb.order_items set quantity = 1, unit_price_cents = 1000 where order_id = u(3)":        {"the lines of its order make -1, it took -2"},
		"update orderdb.orders set total_cents = 499 where id = u(1)":                                       {"costs 499, its lines 500"},
		"insert into paymentdb.ledger_entries values (u(7), 1)":                                             {"ledger of each payment"},
	} {
		t.Run(harm, func(t *testing.T) {
			t.Parallel()
			duck, err := sql.Open("duckdb", "")
			if err != nil {
				t.Fatal(err)
			}
			defer duck.Close()
			duck.SetMaxOpenConns(1)
			if _, err := duck.ExecContext(t.Context(), shop+harm); err != nil {
				t.Fatal(err)
			}
			unchecked, err := equations.Check(t.Context(), duck, nil)
			if len(unchecked) > 0 {
				t.Errorf("not checked: %q", unchecked)
			}
			if want == nil && err != nil {
				t.Error(err)
			}
			for _, text := range want {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%v, want %q", err, text)
				}
			}
			if want != nil && err != nil && strings.Count(err.Error(), "not true:") != len(want) {
				t.Errorf("%v: want %d", err, len(want))
			}
		})
	}
}

// What needs a table that is not of this cut is not checked, and not said to be true; the rest is checked all the same.
func TestEquationsOfMissingTablesAreNotChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm      string
		missing   []string
		unchecked int
		names     string
		broken    string
	}{
		"nothing is missing": {"", nil, 0, "", ""},
		"one that only one equation needs": {
			"insert into paymentdb.ledger_entries values (u(7), 1)", []string{"paymentdb.ledger_entries"}, 1, "the ledger of each payment is zero: it needs paymentdb.ledger_entries", "",
		},
		"one that many need":  {"", []string{"bookdb.stock_movements"}, 6, "stock is the sum of its movements: it needs bookdb.stock_movements", ""},
		"one that none needs": {"", []string{"bookdb.books"}, 0, "", ""},
		"another is broken": {
			"insert into paymentdb.ledger_entries values (u(7), 1)", []string{"bookdb.stock"}, 1, "stock is the sum", "ledger of each payment",
		},
		"one is not there at all": {"drop table paymentdb.ledger_entries", nil, 1, "the ledger of each payment is zero: ", ""},
		"a column is text":        {"alter table paymentdb.ledger_entries alter cents type varchar", nil, 1, "the ledger of each payment is zero: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			duck, err := sql.Open("duckdb", "")
			if err != nil {
				t.Fatal(err)
			}
			defer duck.Close()
			duck.SetMaxOpenConns(1)
			if _, err := duck.ExecContext(t.Context(), shop+c.harm); err != nil {
				t.Fatal(err)
			}
			unchecked, err := equations.Check(t.Context(), duck, c.missing)
			if len(unchecked) != c.unchecked || !strings.Contains(strings.Join(unchecked, "\n"), c.names) {
				t.Errorf("not checked: %q", unchecked)
			}
			if (err != nil) != (c.broken != "") || err != nil && !strings.Contains(err.Error(), c.broken) {
				t.Errorf("broken: %v", err)
			}
		})
	}
}
