package lab_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/patroni"
	"bookstore/services/books/bookspg"
	"bookstore/services/checkout"
	"bookstore/services/lab"
	"bookstore/services/orders/orderspg"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
)

// database says of every table of a database how it is kept small, or why it need not be.
type database struct {
	migrations fs.FS
	cleaners   []clean.Job
	tables     map[string]fate
}

// fate is one of the two.
type fate struct {
	by  []string // the jobs that delete its rows
	why string
}

func cleaned(by ...string) fate { return fate{by: by} }
func stays(why string) fate     { return fate{why: why} }

var (
	schemaVersions = stays("a row for each migration")
	byOrders       = "grows with the shop's business, whose record it is"
)

func databases() map[string]database {
	return map[string]database{
		lab.BookDB: {bookspg.Migrations, bookspg.Cleaners(), map[string]fate{
			"goose_db_version": schemaVersions,
			"books":            stays("the catalogue: a row for each book that was ever in it"),
			"stock":            stays("a row for each book"),
			"book_sources":     stays("a row for each book that came from a catalogue file, withdrawn ones included"),
			"book_search":      stays("a row for each book that is not deleted"),
			"search_words":     stays("a row for each word of the catalogue's languages"),
			"stock_movements":  stays(byOrders + ": the stock is their sum"),
			"idempotency_keys": cleaned("idempotency_keys"),
			"branch_markers":   cleaned("branch_markers", "branch_tombstones"),
			"step_markers":     cleaned("step_markers"),
			"warehouse_gone":   cleaned("warehouse_gone"),
			"cache_outbox":     stays("rows go once their announcements are confirmed (cache/outbox)"),
		}},
		lab.OrderDB: {orderspg.Migrations, orderspg.Cleaners(), map[string]fate{
			"goose_db_version": schemaVersions,
			"orders":           stays(byOrders),
			"order_items":      stays(byOrders),
			"branch_markers":   cleaned("branch_markers", "branch_tombstones"),
			"step_markers":     cleaned("step_markers"),
			"warehouse_gone":   cleaned("warehouse_gone"),
		}},
		lab.PaymentDB: {paymentspg.Migrations, paymentspg.Cleaners(), map[string]fate{
			"goose_db_version":  schemaVersions,
			"payments":          stays(byOrders),
			"ledger_entries":    stays(byOrders),
			"step_markers":      cleaned("step_markers"),
			"provider_attempts": cleaned("provider_attempts"),
			"warehouse_gone":    cleaned("warehouse_gone"),
		}},
		lab.CoordinatorDB: {txnpg.Migrations, coordinatorCleaners(), map[string]fate{
			"goose_db_version": schemaVersions,
			"transactions":     cleaned("transactions"),
			"sagas":            cleaned("sagas"),
			"saga_events":      cleaned("sagas"),
			"warehouse_gone":   cleaned("warehouse_gone"),
			"cut":              stays("one row"),
			"saga_hold":        stays("one row at most"),
		}},
	}
}

func coordinatorCleaners() []clean.Job {
	return txnpg.Cleaners(twophase.DefaultSettings("test").Retention, saga.DefaultSettings().KeepFor)
}

const allTables = `
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and not c.relispartition
	and n.nspname not like 'pg\_%'`

// A new table has to say how it is kept small, or why it need not be.
func TestEveryTableIsKeptSmallOrSaysWhyItNeedNotBe(t *testing.T) {
	t.Parallel()
	server, all := pgtest.Start(t, pgtest.Options{}), databases()
	for _, d := range patroni.Databases() {
		said, ok := all[d.Name]
		if !ok {
			t.Errorf("%s is not declared here", d.Name)
			continue
		}
		rows, err := server.Database(t, said.migrations).Query(context.Background(), allTables)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(found) == 0 {
			t.Fatal(d.Name, err)
		}
		for _, table := range found {
			if f := said.tables[table]; len(f.by) == 0 && f.why == "" {
				t.Errorf("%s.%s: say which cleaner keeps it small (platform/clean), or why it need not be kept small", d.Name, table)
			}
		}
		said.hold(t, d.Name, found)
	}
}

// hold checks what is said of tables against the jobs that there are.
func (d database) hold(t *testing.T, name string, found []string) {
	t.Helper()
	used := map[string]bool{}
	for table, f := range d.tables {
		if !slices.Contains(found, table) {
			t.Errorf("%s has no table %s", name, table)
		}
		for _, by := range f.by {
			used[by] = true
			i := slices.IndexFunc(d.cleaners, func(j clean.Job) bool { return j.Name == by })
			if i < 0 || !strings.Contains(strings.ToLower(d.cleaners[i].Delete), "delete from "+table+" ") {
				t.Errorf("%s: nothing called %s deletes from %s", name, by, table)
			}
		}
	}
	for _, j := range d.cleaners {
		if !used[j.Name] {
			t.Errorf("%s: for which table is the cleaner %s?", name, j.Name)
		}
	}
}

// aged are the statements that fill a table with $1 rows whose ages are spread evenly between $2 and $3, the oldest first.
var aged = map[string]string{
	"transactions": `
insert into transactions (gid, kind, state, caller, idempotency_key, attempt, request_hash, branches, payload, owner, lease_until,
	deadline, outcome_status, outcome_body, created_at, decided_at, finished_at)
select md5(gen_random_uuid()::text), 'place_order', 'committed', 'customer:' || i % 10000, gen_random_uuid(), 1, sha256('x'),
	'{books,orders}', jsonb_build_object('orderId', gen_random_uuid()), 'coordinator-0', at, at + interval '3 seconds', 201,
	convert_to(repeat('order ', 50), 'UTF8'), at, at, at from AGED`,
	"sagas": `
with s as (
	insert into sagas (id, definition, caller, idempotency_key, request_hash, state, steps, data, deadline, answer_status,
		answer_body, created_at, updated_at, finished_at)
	select V7, 'checkout', 'customer:' || i % 10000, gen_random_uuid(), sha256('x'), 'completed',
		'[{"name": "reserve_stock", "state": "done"}]', jsonb_build_object('order', repeat('order ', 50)), at, 202, '{}', at, at, at
	from AGED returning id, created_at
)
insert into saga_events (saga_id, seq, at, news)
select id, seq, created_at, '{"state": "running", "steps": [{"name": "capture", "state": "done"}]}' from s cross join generate_series(1, 5) seq`,
	"warehouse_gone": `
insert into warehouse_gone (table_name, key, gone_at)
select 'saga_events', jsonb_build_object('saga_id', gen_random_uuid(), 'seq', 1), at from AGED`,
	"branch_markers": `
insert into branch_markers (gid, branch, state, deadline, created_at)
select md5(gen_random_uuid()::text), 'books', 'prepared', at + interval '3 seconds', at from AGED`,
	"branch_tombstones": `
insert into branch_markers (gid, branch, state, deadline, created_at)
select md5(gen_random_uuid()::text), 'books', 'aborted', at + interval '3 seconds', at from AGED`,
	"step_markers": `
insert into step_markers (saga, step, state, result, created_at, updated_at)
select V7, 'reserve_stock', 'done', '{"reserved": 1}', at, at from AGED`,
	"idempotency_keys": `
insert into idempotency_keys (caller, key, request_hash, status, headers, body, created_at, expires_at)
select 'operator', gen_random_uuid(), sha256('x'), 201, '{}', convert_to(repeat('book ', 50), 'UTF8'), at, at from AGED`,
	"provider_attempts": `
insert into provider_attempts (key, operation, updated_at) select gen_random_uuid(), 'authorise', at from AGED`,
}

// fillSQL is the statement that makes aged rows for a job.
func fillSQL(job string) string {
	return strings.NewReplacer(
		"AGED", `(select i, now() - ($2::interval + ($3::interval - $2::interval) * (i::float8 / $1::int)) as at from generate_series(1, $1::int) i) a`,
		"V7", `(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || 'a' || substr(md5(i::text), 1, 15))::uuid`,
	).Replace(aged[job])
}

// Whatever the plans are made for, no cleaner reads a table to find what is old.
func TestEveryCleanerFindsItsRowsByAnIndex(t *testing.T) {
	t.Parallel()
	server, ctx := pgtest.Start(t, pgtest.Options{}), context.Background()
	const rows = 20000
	for name, d := range databases() {
		conn, err := pgx.Connect(ctx, server.DSN(t, d.migrations))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		for _, j := range d.cleaners {
			if _, err := conn.Exec(ctx, fillSQL(j.Name), rows, j.Keep+j.Keep/10, time.Duration(0)); err != nil {
				t.Fatal(j.Name, err)
			}
		}
		if _, err := conn.Exec(ctx, "analyze"); err != nil {
			t.Fatal(err)
		}
		for _, j := range d.cleaners {
			for _, limit := range []int{1, 500, 5000} {
				if plan := explain(t, conn, j.Delete, j.Keep, limit); strings.Contains(plan, "Seq Scan") {
					t.Errorf("%s: %s deletes %d rows by\n%s", name, j.Name, limit, plan)
				}
			}
			if plan := explain(t, conn, j.Oldest); strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s: %s finds the oldest row by\n%s", name, j.Name, plan)
			}
			tag, err := conn.Exec(ctx, j.Delete, j.Keep, 100)
			if err != nil || tag.RowsAffected() != 100 {
				t.Errorf("%s: %s deletes %d of 100 rows, %v", name, j.Name, tag.RowsAffected(), err)
			}
		}
	}
}

func explain(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(context.Background(), "explain "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// A marker must outlast every call that it may have to answer.
func TestMarkersOutlastSagas(t *testing.T) {
	t.Parallel()
	settings := checkout.DefaultSettings()
	for _, d := range databases() {
		for _, j := range d.cleaners {
			if j.Name == "step_markers" && j.Keep < settings.ApprovalTime+saga.DefaultSettings().KeepFor {
				t.Errorf("markers of steps are kept for %v: sagas may take %v", j.Keep, settings.ApprovalTime)
			}
		}
	}
}
