package clean_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var migrations = fstest.MapFS{"00001_things.sql": {Data: []byte(`-- +goose Up
create table things (id bigint generated always as identity primary key, made timestamptz not null default now());
create index things_made on things (made);
create table others (id bigint generated always as identity primary key, made timestamptz not null default now());
create index others_made on others (made);
`)}}

func job(table string) clean.Job {
	return clean.Job{
		Name: table, Keep: time.Hour,
		Delete: "delete from " + table + " where ctid = any (array(select ctid from " + table +
			" where made < now() - $1::interval order by made limit $2 for update skip locked))",
		Oldest: "select min(made) from " + table,
	}
}

type fixture struct {
	t    *testing.T
	pool *pgxpool.Pool
	reg  *prometheus.Registry
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	t.Parallel()
	return fixture{t, pgtest.Database(t, migrations), prometheus.NewRegistry()}
}

func (f fixture) cleaner(jobs ...clean.Job) *clean.Cleaner {
	return clean.New(f.pool, slog.New(slog.DiscardHandler), f.reg, jobs...)
}

func (f fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(context.Background(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

// fill makes rows that are two hours old.
func (f fixture) fill(table string, n int) {
	f.t.Helper()
	f.exec("insert into "+table+" (made) select now() - interval '2 hours' from generate_series(1, $1)", n)
}

func (f fixture) rows(table string) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(context.Background(), "select count(*) from "+table).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f fixture) round(c *clean.Cleaner) {
	f.t.Helper()
	if err := c.Round(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// value is that of a metric for a job; -1 without one.
func (f fixture) value(metric, name string) float64 {
	f.t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == metric && m.GetLabel()[0].GetValue() == name {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func TestARoundDeletesAllThatIsOldEnough(t *testing.T) {
	f := newFixture(t)
	f.fill("things", 23456)
	f.exec("insert into things (made) values (now() - interval '59 minutes'), (now())")
	c := f.cleaner(job("things"))
	if got := f.value("cleaner_oldest_seconds", "things"); got != -1 {
		t.Errorf("an age of %v before the first measurement", got)
	}
	f.round(c)
	if n := f.rows("things"); n != 2 {
		t.Errorf("%d rows left", n)
	}
	for metric, want := range map[string]float64{"cleaner_removed_rows_total": 23456, "cleaner_keep_seconds": 3600} {
		if got := f.value(metric, "things"); got != want {
			t.Errorf("%s is %v", metric, got)
		}
	}
	if got := f.value("cleaner_oldest_seconds", "things"); got < 59*60 || got > 60*60 {
		t.Errorf("the oldest row is %v s old", got)
	}
}

// Every row costs 10 ms: the first batch would take five times as long as a statement may.
func TestABatchThatTakesTooLongIsMadeSmaller(t *testing.T) {
	f := newFixture(t)
	f.exec("create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return old; end $$")
	f.exec("create trigger slow before delete on things for each row execute function slow()")
	f.fill("things", 300)
	f.round(f.cleaner(job("things")))
	if n, shrunk := f.rows("things"), f.value("cleaner_shrunk_batches_total", "things"); n != 0 || shrunk < 1 || shrunk > 5 {
		t.Errorf("%d rows left, %v batches shrunk", n, shrunk)
	}
}

func TestARowThatAloneTakesTooLongIsReported(t *testing.T) {
	f := newFixture(t)
	f.exec("create function stuck() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return old; end $$")
	f.exec("create trigger stuck before delete on things for each row execute function stuck()")
	f.fill("things", 1)
	f.fill("others", 10)
	if err := f.cleaner(job("things"), job("others")).Round(context.Background()); err == nil {
		t.Error("nothing is reported")
	}
	if n := f.rows("others"); n != 0 {
		t.Errorf("%d rows of the other job are left", n)
	}
}

func TestAJobThatFailsLeavesTheOthersTheirWork(t *testing.T) {
	f := newFixture(t)
	f.fill("things", 10)
	if err := f.cleaner(job("nowhere"), job("things")).Round(context.Background()); err == nil {
		t.Error("nothing is reported")
	}
	if n := f.rows("things"); n != 0 {
		t.Errorf("%d rows left", n)
	}
	if got := f.value("cleaner_oldest_seconds", "nowhere"); got != -1 {
		t.Errorf("an age of %v that nobody could see", got)
	}
}

func TestInstancesShareTheWork(t *testing.T) {
	f := newFixture(t)
	f.fill("things", 30000)
	var working sync.WaitGroup
	for range 3 {
		c := clean.New(f.pool, slog.New(slog.DiscardHandler), nil, job("things"))
		working.Go(func() {
			if err := c.Round(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	f.round(f.cleaner(job("things"))) // what one of them held when the others ended
	if n := f.rows("things"); n != 0 {
		t.Errorf("%d rows left", n)
	}
}

// A row that live traffic holds is neither waited for nor forgotten.
func TestALockedRowIsPassedOver(t *testing.T) {
	f := newFixture(t)
	f.fill("things", 100)
	ctx := context.Background()
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "set idle_in_transaction_session_timeout = 0; select from things where id = 1 for no key update"); err != nil {
		t.Fatal(err)
	}
	c := f.cleaner(job("things"))
	f.round(c)
	if n := f.rows("things"); n != 1 {
		t.Errorf("%d rows left beside a locked one", n)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	f.round(c)
	if n := f.rows("things"); n != 0 {
		t.Errorf("%d rows left", n)
	}
}

// A round ends with its owner, however much is left to be done.
func TestARoundEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	f.exec("create function refill() returns trigger language plpgsql as $$ begin " +
		"insert into things (made) select now() - interval '2 hours' from gone; return null; end $$")
	f.exec("create trigger refill after delete on things referencing old table as gone for each statement execute function refill()")
	f.fill("things", 6000)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := f.cleaner(job("things")).Round(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n := f.rows("things"); n != 6000 {
		t.Errorf("%d rows left", n)
	}
}

// The tombstones of the tables that the warehouse reads go after 8 days, an unfinished transaction's among them.
func TestTombstonesGoOnceAFullRunMustHaveBeen(t *testing.T) {
	f := newFixture(t)
	f.exec("insert into warehouse_gone (table_name, gone_at) select 'things', now() - interval '9 days' from generate_series(1, 3000)")
	f.exec("insert into warehouse_gone (table_name, gone_at) select 'things', now() - interval '7 days' from generate_series(1, 10)")
	f.exec("insert into warehouse_gone (table_name, gone_at) values ('things', now() - interval '9 days')")
	f.round(f.cleaner(clean.Tombstones()))
	if n := f.rows("warehouse_gone"); n != 10 {
		t.Errorf("%d tombstones left", n)
	}
}
