package outbox

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/pg/pgtest"
)

const manyOrders = `
with b as (
	insert into books (title, authors, price_cents, currency)
	select 'T', array['A'], 100, 'EUR' from generate_series(1, 5000) returning id
), s as (
	insert into stock (book_id, quantity) select id, 0 from b returning book_id
), o as (
	insert into stock_movements (book_id, delta, cause, gid) select book_id, 1, 'order', 'g' || book_id from s
)
insert into stock_movements (book_id, delta, cause, saga, step) select book_id, 1, 'checkout', 's' || book_id, 'x' from s`

// Every order reads which books it has changed: from indexes, and by a plan that
// is not made anew each time.
func TestWhatChangedIsReadFromIndexesByAPlanMadeOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, bookspg.Migrations)
	// On a busy machine these take longer than a service's statement_timeout.
	if _, err := pool.Exec(ctx, "begin; set local statement_timeout = 0; "+manyOrders+"; analyze books, stock, stock_movements; commit",
		pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for name, q := range map[string]query{"branch": {ofBranch, []any{"g7"}}, "step": {ofStep, []any{"s7", "x"}}} {
		if _, err := conn.Conn().Prepare(ctx, name, q.sql); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			rows, err := conn.Query(ctx, name, q.args...)
			if err != nil {
				t.Fatal(err)
			}
			if floors, err := pgx.CollectRows(rows, floor); err != nil || len(floors) != 1 || floors[0].BookID != 7 {
				t.Fatalf("%s: %v, %v", name, floors, err)
			}
		}
		var generic int
		err := conn.QueryRow(ctx, "select generic_plans from pg_prepared_statements where name = $1", name).Scan(&generic)
		if err != nil || generic != 5 {
			t.Errorf("%s: %d generic plans, %v", name, generic, err)
		}
		rows, err := conn.Query(ctx, "explain execute "+name+"("+strings.Repeat("'x', ", len(q.args)-1)+"'x')")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if plan := strings.Join(lines, "\n"); err != nil || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s: %v\n%s", name, err, plan)
		}
	}
}

// After a day without caches much has piled up, and no batch of it may cost more the more that is.
func TestWhatHasPiledUpIsClearedByAnIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, bookspg.Migrations)
	const rows = `insert into cache_outbox (book_id, stock_version, created_at)
		select i % 3000, i, now() - interval '1 day' from generate_series(1, 60000) i`
	for _, sql := range []string{rows, "analyze cache_outbox"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	some := make([]int64, 3000)
	for i := range some {
		some[i] = int64(i)
	}
	found, err := pool.Query(ctx, "explain "+deleteConfirmed, some, some, some, most, 4*most)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(found, pgx.RowTo[string])
	if plan := strings.Join(lines, "\n"); err != nil || strings.Contains(plan, "Seq Scan") {
		t.Errorf("%v\n%s", err, plan)
	}
	announced := map[int64]int64{}
	relay := New(pool, func(_ context.Context, floors ...coherence.Floor) error {
		for _, f := range floors {
			announced[f.BookID] = max(announced[f.BookID], f.StockVersion)
		}
		return nil
	}, slog.New(slog.DiscardHandler), nil)
	if err := relay.round(ctx); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := pool.QueryRow(ctx, "select count(*) from cache_outbox").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows left, %v", left, err)
	}
	if len(announced) != 3000 || announced[2999] != 59999 || announced[0] != 60000 {
		t.Errorf("of %d books the caches have announced, of 2999 up to %d, of 0 up to %d", len(announced), announced[2999], announced[0])
	}
}
