package invariants_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/invariants"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A shop at rest: an order, a cancelled one, a checkout that is complete, one that was returned,
// and a checkout that failed.
const shop = `
create schema bookdb; create schema orderdb; create schema paymentdb; create schema coordinatordb;
set search_path = bookdb, orderdb, paymentdb, coordinatordb, public;
create table bookdb.stock (book_id bigint, quantity bigint);
create table bookdb.stock_movements (book_id bigint, delta bigint, cause text, gid text, saga text);
create table bookdb.cache_outbox (book_id bigint, version bigint, stock_version bigint);
create table orderdb.orders (id uuid, status text, total_cents bigint);
create table orderdb.order_items (order_id uuid, book_id bigint, quantity bigint, unit_price_cents bigint);
create table paymentdb.payments (id uuid, key text, order_id uuid, state text);
create table paymentdb.ledger_entries (payment_id uuid, cents bigint);
create table coordinatordb.transactions (gid text, kind text, state text, payload jsonb, notes text, finished_at timestamptz default now());
create table coordinatordb.sagas (id uuid, definition text, state text, steps jsonb, data jsonb, finished_at timestamptz default now());
create function public.u(n int) returns uuid language sql immutable as $$ select ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
insert into bookdb.stock values (1, 7);
insert into bookdb.stock_movements values
	(1, 10, 'initial', null, null), (1, -1, 'order', 'placed', null), (1, -4, 'order', 'gone', null), (1, 4, 'cancel', 'back', null),
	(1, -2, 'checkout', null, u(9)), (1, -3, 'checkout', null, u(8)), (1, 3, 'release', null, u(8)),
	(1, -5, 'checkout', null, u(10)), (1, 5, 'return', null, u(11));
insert into orderdb.orders values (u(1), 'placed', 500), (u(2), 'cancelled', 2000), (u(3), 'paid', 1000), (u(5), 'returned', 2500);
insert into orderdb.order_items values (u(1), 1, 1, 500), (u(2), 1, 4, 500), (u(3), 1, 2, 500), (u(5), 1, 5, 500);
insert into coordinatordb.transactions (gid, kind, state, payload) values
	('placed', 'place_order', 'committed', jsonb_build_object('orderId', u(1))), ('gone', 'place_order', 'committed', jsonb_build_object('orderId', u(2))),
	('back', 'cancel_order', 'committed', jsonb_build_object('orderId', u(2))), ('never', 'place_order', 'aborted', jsonb_build_object('orderId', u(4)));
insert into coordinatordb.sagas (id, definition, state, steps, data) values
	(u(9), 'checkout', 'completed', '[{"name":"capture"}]', jsonb_build_object('order', jsonb_build_object('id', u(3)))),
	(u(8), 'checkout', 'failed', '[{"name":"capture"}]', jsonb_build_object('order', jsonb_build_object('id', u(6)))),
	(u(10), 'checkout', 'completed', '[{"name":"capture"}]', jsonb_build_object('order', jsonb_build_object('id', u(5)))),
	(u(11), 'return', 'completed', '[{"name":"refund"}]', jsonb_build_object('orderId', u(5)));
insert into paymentdb.payments values (u(7), u(9), u(3), 'captured'), (u(12), u(10), u(5), 'refunded'), (u(13), u(8), u(6), 'voided');
insert into paymentdb.ledger_entries values (u(7), 1000), (u(7), -1000);`

// The shop in order breaks no equation; each harm breaks the ones that say so, and each equation
// is broken by one of them.
func TestEquationsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	all := slices.Concat(invariants.Always(), invariants.AtRest())
	pool, broken := pgtest.Database(t, fstest.MapFS{"00001_nothing.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}), map[string]bool{}
	for _, c := range []struct{ harm, want string }{
		{"", ""},
		{"insert into stock values (2, 5)", "stock is the sum"},
		{"update orders set total_cents = 499 where id = u(1)", "an order's total"},
		{"insert into ledger_entries values (u(7), 1)", "the ledger of each payment"},
		{"update order_items set quantity = 2, unit_price_cents = 250 where order_id = u(1)",
			"a committed transaction has moved; what transactions took; copies that left"},
		{"update transactions set state = 'aborted' where gid = 'placed'",
			"a transaction that was not committed; an order that transactions made; what moved belongs"},
		{"update transactions set finished_at = null where gid = 'placed'", "every transaction is finished"},
		{"insert into transactions (gid, kind, state, payload) values ('twice', 'place_order', 'committed', jsonb_build_object('orderId', u(1)))",
			"a committed transaction has moved; an order is placed and cancelled once"},
		{"update orders set status = 'cancelled' where id = u(1)", "what transactions took; an order that transactions made; copies that left"},
		{"update sagas set finished_at = null where id = u(8)", "every saga is over"},
		{"update sagas set state = 'failed' where id = u(9)",
			"a saga that came to nothing; what moved belongs; a checkout that came to nothing; an order is paid and returned"},
		{"insert into sagas (id, definition, state, steps, data) values (u(14), 'return', 'completed', '[]', jsonb_build_object('orderId', u(5)))",
			"an order is checked out and returned once; a saga that is complete"},
		{"update stock_movements set delta = 4 where saga = u(11)::text; update stock_movements set delta = 11 where cause = 'initial'",
			"a saga that is complete; copies that left"},
		{"update order_items set quantity = 1, unit_price_cents = 1000 where order_id = u(3)",
			"a checkout that is complete; a saga that is complete; copies that left"},
		{"insert into cache_outbox values (1, 1, 1)", "every change has been announced"},
		{"update payments set state = 'authorised' where id = u(7)", "money is taken"},
		{"update payments set state = 'captured' where id = u(12)", "money is taken"},
		{"delete from payments where id = u(12)", "money is taken"},
	} {
		conn, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), shop+c.harm); err != nil {
			t.Fatalf("%s: %v", c.harm, err)
		}
		var found []string
		for _, e := range all {
			rows, err := conn.Query(t.Context(), e.PostgreSQL())
			if err != nil {
				t.Fatalf("%s: %v", e.Name, err)
			}
			texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatalf("%s: %v", e.Name, err)
			}
			if len(texts) > 0 {
				found, broken[e.Name] = append(found, e.Name), true
			}
		}
		if err := conn.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		var want []string
		if c.want != "" {
			want = strings.Split(c.want, "; ")
		}
		if !slices.EqualFunc(found, want, strings.HasPrefix) {
			t.Errorf("%s: broken are %q, want %q", c.harm, found, want)
		}
	}
	for _, e := range all {
		if !broken[e.Name] {
			t.Errorf("no harm breaks %q", e.Name)
		}
	}
}

func TestTablesTellTheDatabase(t *testing.T) {
	t.Parallel()
	for _, e := range slices.Concat(invariants.Always(), invariants.AtRest()) {
		tables, database := e.Tables(), e.Database()
		if len(tables) == 0 || (database != "" && strings.Contains(e.PostgreSQL(), database+".")) {
			t.Errorf("%s: tables %q, database %q", e.Name, tables, database)
		}
	}
}
