package participant_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const name = "test"

// Each change of an account by a step is a row of moves too.
var migrations = fstest.MapFS{
	"00001_branches.sql": {Data: []byte(participant.BranchSchema)},
	"00002_steps.sql":    {Data: []byte(participant.StepSchema)},
	"00003_accounts.sql": {Data: []byte(`-- +goose Up
create table accounts (id int primary key, amount int not null check (amount >= 0));
insert into accounts values (1, 100), (2, 100);
create table moves (saga text not null, delta int not null);`)},
}

// fixture is a participant over a database of its own.
type fixture struct {
	*participant.Participant
	t    *testing.T
	pool *pgxpool.Pool
	reg  *prometheus.Registry
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	t.Parallel()
	return fixtureOver(t, pgtest.Database(t, migrations))
}

func fixtureOver(t *testing.T, pool *pgxpool.Pool) fixture {
	t.Helper()
	reg := prometheus.NewRegistry()
	return fixture{participant.New(pool, name, slog.New(slog.DiscardHandler), reg), t, pool, reg}
}

// patient is a participant whose sessions bear a slow machine: tests hold a
// transaction open until something else has happened.
func patient(t *testing.T, settings string) fixture {
	t.Helper()
	t.Parallel()
	dsn := pgtest.DSN(t, migrations) + "&idle_in_transaction_session_timeout=0&statement_timeout=60s"
	return fixtureOver(t, pgtest.Pool(t, dsn+settings))
}

func (f fixture) value(sql string, args ...any) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f fixture) amount() int {
	f.t.Helper()
	return f.value("select amount from accounts where id = 1")
}

// must fails the test unless err is of the kind; "" means nil.
func (f fixture) must(what string, err error, want fault.Kind) {
	f.t.Helper()
	if (err == nil) != (want == "") || (err != nil && fault.KindOf(err) != want) {
		f.t.Fatalf("%s: got %v, want %q", what, err, want)
	}
}

// counted is how many calls of op had this result.
func (f fixture) counted(op, result string) (n float64) {
	f.t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["op"] == op && labels["result"] == result && (labels["branch"] == name || labels["step"] == stepName) {
				n += metric.GetCounter().GetValue()
			}
		}
	}
	return n
}

// waitForLocks returns once n sessions of this database wait for another's transaction.
func (f fixture) waitForLocks(n int) {
	f.t.Helper()
	f.waitFor("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'", n)
}

// waitFor returns once a query of one number returns at least n.
func (f fixture) waitFor(sql string, n int) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.value(sql) < n {
		<-tick.C
	}
}
