package pg_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

func migrations(files ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i, sql := range files {
		name := "0000" + string(rune('1'+i)) + "_step.sql"
		out[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
	}
	return out
}

var notes = migrations(`create table notes (
	id int primary key,
	body text not null constraint notes_body_check check (body <> ''),
	constraint notes_body_key unique (body) deferrable initially deferred
);`)

func TestMigrateAppliesOnceAndInOrder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := pgtest.DSN(t, fstest.MapFS{"00001_nothing.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}})
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	pool := pgtest.Pool(t, dsn)
	two := migrations("create table a (id int);", "create table b (id int);")
	if err := pg.SchemaReady(ctx, pool, two); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a schema that lags is not ready: %v", err)
	}
	// The template above stands at version 1, so that only the second is new.
	if n, err := pg.Migrate(ctx, cfg, two); err != nil || n != 1 {
		t.Fatalf("applied %d, %v", n, err)
	}
	if n, err := pg.Migrate(ctx, cfg, two); err != nil || n != 0 {
		t.Fatalf("again: applied %d, %v", n, err)
	}
	if err := pg.SchemaReady(ctx, pool, two); err != nil {
		t.Error(err)
	}
}

func TestSchemaOfAnEmptyDatabaseIsNotReady(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, pgtest.Server(t).URL("postgres"))
	if err := pg.SchemaReady(context.Background(), pool, notes); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestConcurrentMigrationsAreSerialized(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t, fstest.MapFS{"00001_nothing.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}})
	done := make(chan error, 3)
	for range cap(done) {
		go func() {
			cfg, err := pgx.ParseConfig(dsn)
			if err == nil {
				_, err = pg.Migrate(context.Background(), cfg, migrations("select 1;", "create table once (id int);"))
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

var tracked = fstest.MapFS{"00001_things.sql": {Data: []byte(`-- +goose Up
create table things (a int, b text, note text, primary key (a, b));
insert into things values (0, 'before');
select warehouse_track('things');
create table hot (id int primary key);
select warehouse_track('hot', indexed => false);`)}}

// changes are what a warehouse reads that has read everything before xid.
func changes(t *testing.T, pool *pgxpool.Pool, xid string) (rows, gone []string) {
	t.Helper()
	for sql, all := range map[string]*[]string{
		"select a || b from things where changed_xid >= $1::text::xid8 order by 1":                                            &rows,
		"select coalesce(table_name || key::text, 'all') from warehouse_gone where changed_xid >= $1::text::xid8 order by id": &gone,
	} {
		found, err := pool.Query(t.Context(), sql, xid)
		if err != nil {
			t.Fatal(err)
		}
		if *all, err = pgx.CollectRows(found, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	return rows, gone
}

func TestChangedAndDeletedRowsAreTracked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, tracked)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	query := func(sql string) (answer string) {
		t.Helper()
		if err := pool.QueryRow(ctx, sql).Scan(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	// A run's watermark is the snapshot's xmin, which the transactions of other tests hold back too.
	next := func() string { t.Helper(); return query("select pg_snapshot_xmax(pg_current_snapshot())::text") }
	expect := func(since string, wantRows, wantGone []string) {
		t.Helper()
		if rows, gone := changes(t, pool, since); !slices.Equal(rows, wantRows) || !slices.Equal(gone, wantGone) {
			t.Errorf("since %s: rows %q, want %q; gone %q, want %q", since, rows, wantRows, gone, wantGone)
		}
	}
	expect("0", []string{"0before"}, nil)
	first := next()
	exec("insert into things values (1, 'x'), (2, 'y'), (3, 'z')")
	second := next()
	exec("begin; insert into things values (9, 'late'); prepare transaction 'late'")
	if query(`select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= transaction::text::bigint)::text
		from pg_prepared_xacts where gid = 'late'`) != "true" {
		t.Error("the watermark is later than what is prepared")
	}
	exec("update things set note = 'changed' where a = 0")
	exec("delete from things where a in (2, 3)")
	expect(first, []string{"0before", "1x"}, []string{`things{"a": 2, "b": "y"}`, `things{"a": 3, "b": "z"}`})
	exec("commit prepared 'late'")
	expect(second, []string{"0before", "9late"}, []string{`things{"a": 2, "b": "y"}`, `things{"a": 3, "b": "z"}`})
	third := next()
	exec("truncate things")
	expect(third, nil, []string{"all"})
}

func TestATableWithoutAKeyCannotBeTracked(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, tracked)
	if _, err := pool.Exec(t.Context(), "create table keyless (a int); select warehouse_track('keyless')", pgx.QueryExecModeSimpleProtocol); err == nil {
		t.Error("tracked")
	}
}

// A large table would be written anew while nobody can read it.
func TestALargeTableIsNotTrackedAtOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, tracked)
	const large = `create table large (a int primary key, b text); alter table large alter b set storage plain;
		insert into large select i, repeat('x', 7000) from generate_series(1, 34000) i;`
	ctx := t.Context()
	if _, err := pool.Exec(ctx, "set statement_timeout = 0; "+large, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	_, err := pool.Exec(ctx, "select warehouse_track('large')", pgx.QueryExecModeSimpleProtocol)
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
	if _, err := pool.Exec(ctx, "truncate large; select warehouse_track('large')", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Error(err)
	}
}

// A DELETE costs its tombstones and no more: what is old is a cleaner's to delete.
func TestADeleteLeavesOldTombstonesAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, tracked)
	const sql = `insert into warehouse_gone (table_name, gone_at) select 'things', now() - interval '9 days' from generate_series(1, 10);
		delete from things`
	if _, err := pool.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := pool.QueryRow(t.Context(), "select count(*) from warehouse_gone").Scan(&n); err != nil || n != 11 {
		t.Errorf("%d tombstones, %v", n, err)
	}
}
