//go:build bench

package run_test

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books/bookspg"
	"bookstore/services/orders/orderspg"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/txnpg"
	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

// largeShop has the shop's own tables, and as many orders as are wanted: each of three lines, one in ten checked out and
// paid, the others placed by a transaction. The equations hold of it.
type largeShop struct {
	t         *testing.T
	dir       string
	databases []database
	conns     map[string]*pgx.Conn
	began     time.Time
	cuts      int
	lines     int
}

func newLargeShop(t *testing.T, most int) *largeShop {
	t.Helper()
	s := &largeShop{t: t, dir: t.TempDir(), conns: map[string]*pgx.Conn{}, began: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)}
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"autovacuum=off", "max_wal_size=4GB", "jit=off", "max_parallel_workers_per_gather=0"}})
	for _, d := range []struct {
		name       string
		migrations fs.FS
	}{
		{"bookdb", bookspg.Migrations},
		{"orderdb", orderspg.Migrations},
		{"paymentdb", paymentspg.Migrations},
		{"coordinatordb", txnpg.Migrations},
	} {
		s.databases = append(s.databases, database{d.name, server.DSN(t, d.migrations)})
		conn, err := pgx.Connect(t.Context(), s.databases[len(s.databases)-1].dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		s.conns[d.name] = conn
		s.do(d.name, fmt.Sprintf(functions, most/3))
	}
	s.do("bookdb", `insert into books (title, authors, language, price_cents, currency)
		select 'The title of book ' || b, array['Author ' || b % 3000], (array['en', 'de', 'fr'])[1 + b % 3], price(b), 'EUR' from generate_series(1, 10000) b;
		insert into stock select id, 0 from books;
		insert into stock_movements (book_id, delta, cause, created_at) select id, 1000000, 'initial', '2026-01-26' from books`)
	return s
}

// functions say what the order n has. Ids ascend with time, as the shop's own do; %[1]d orders take 300 days.
const functions = `
create function id(n bigint) returns uuid immutable language sql return lpad(to_hex(n), 32, '0')::uuid;
create function book(n bigint, line int) returns bigint immutable language sql return 1 + (n * 7919 + line * 3331) %% 10000;
create function copies(n bigint, line int) returns bigint immutable language sql return 1 + (n + line) %% 3;
create function price(book bigint) returns bigint immutable language sql return 500 + book %% 4000;
create function total(n bigint) returns bigint immutable language sql
	return copies(n, 1) * price(book(n, 1)) + copies(n, 2) * price(book(n, 2)) + copies(n, 3) * price(book(n, 3));
create function at(n bigint) returns timestamptz immutable language sql return timestamptz '2026-01-26 UTC' + n * interval '300 days' / %[1]d;
create function paid(n bigint) returns bool immutable language sql return mod(n, 10) = 0;
`

// grow adds orders until there are so many lines. What guards each single write is left out: that is measured elsewhere.
func (s *largeShop) grow(lines int) {
	s.t.Helper()
	orders := fmt.Sprintf("from generate_series(%d::bigint, %d) n", s.lines/3+1, lines/3)
	s.lines = lines
	fill := func(database string, statements ...string) {
		s.do(database, "set session_replication_role = replica; "+strings.Join(statements, "; ")+"; reset session_replication_role; analyze")
	}
	fill("orderdb",
		`insert into orders (id, customer_id, status, total_cents, currency, created_at, updated_at)
			select id(n), 'customer-' || n * 31 % 100000, case when paid(n) then 'paid' else 'placed' end, total(n), 'EUR', at(n), at(n) `+orders,
		`insert into order_items (order_id, line, book_id, title, quantity, unit_price_cents)
			select id(n), line, book(n, line), 'The title of book ' || book(n, line), copies(n, line), price(book(n, line)) `+orders+", generate_series(1, 3) line")
	fill("bookdb",
		`insert into stock_movements (book_id, delta, cause, gid, saga, step, created_at)
			select book(n, line), -copies(n, line), case when paid(n) then 'checkout' else 'order' end, case when not paid(n) then id(n)::text end,
				case when paid(n) then id(n)::text end, case when paid(n) then 'reserve_stock' end, at(n) `+orders+", generate_series(1, 3) line",
		"update stock set quantity = copies, changed_xid = pg_current_xact_id() from (select book_id as book, sum(delta) as copies from stock_movements group by 1) m where book_id = book")
	fill("paymentdb",
		`insert into payments (id, key, token, amount_cents, currency, state, created_at, order_id, method, updated_at)
			select id(n), id(n)::text, 'tok_' || n, total(n), 'EUR', 'captured', at(n), id(n), 'card', at(n) `+orders+" where paid(n)",
		`insert into ledger_entries (payment_id, account, cents, operation)
			select id(n), account, sign * total(n), operation `+orders+`, (values ('customer', -1, 'authorise'), ('held', 1, 'authorise'),
				('held', -1, 'capture'), ('merchant', 1, 'capture')) as m (account, sign, operation) where paid(n)`)
	fill("coordinatordb",
		`insert into sagas (id, definition, caller, request_hash, state, steps, data, cause, deadline, answer_status, answer_body, created_at, updated_at, finished_at)
			select id(n), 'checkout', 'c', '', 'failed', '[{"name": "reserve_stock", "state": "refused", "startedAt": "2026-01-01T00:00:00Z"}]', '{}',
				'{"code": "out_of_stock"}', at(n), 409, '', at(n), at(n), at(n) `+orders+" where n % 1000 = 1")
}

func (s *largeShop) do(database, sql string) {
	s.t.Helper()
	if _, err := s.conns[database].PgConn().Exec(s.t.Context(), sql).ReadAll(); err != nil {
		s.t.Fatalf("%s: %v\n%s", database, err, sql)
	}
}

// run makes a version of the shop as it is.
func (s *largeShop) run(o run.Options) *run.Report {
	s.t.Helper()
	s.cuts++
	c, err := snapshots(s.began.Add(time.Duration(s.cuts)*time.Minute), s.databases...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer release(c)
	report, err := runOn(s.t.Context(), s.dir, c, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// copy has PostgreSQL send what a version was made of, and nobody read it.
func (s *largeShop) copy(m *store.Manifest) time.Duration {
	s.t.Helper()
	began := time.Now()
	for i := range m.Tables {
		t := &m.Tables[i]
		columns := make([]string, 0, len(t.Columns))
		for _, c := range t.Kept() {
			columns = append(columns, pgx.Identifier{c.Name}.Sanitize())
		}
		sql := fmt.Sprintf("copy (select %s from %s) to stdout", strings.Join(columns, ", "), pgx.Identifier{t.Schema, t.Name}.Sanitize())
		if _, err := s.conns[t.Database].PgConn().CopyTo(s.t.Context(), io.Discard, sql); err != nil {
			s.t.Fatal(err)
		}
	}
	return time.Since(began)
}
