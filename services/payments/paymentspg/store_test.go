package paymentspg_test

import (
	"context"
	"io/fs"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant/participanttest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestMarkersAreThoseOfTheParticipant(t *testing.T) {
	t.Parallel()
	participanttest.RequireSchema(t, paymentspg.Migrations, "step_markers")
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestPaymentsFromBeforeOrdersHadOnesAreKept(t *testing.T) {
	t.Parallel()
	const first = "00001_payments.sql"
	text, err := fs.ReadFile(paymentspg.Migrations, first)
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.DSN(t, fstest.MapFS{first: {Data: text}})
	pool := pgtest.Pool(t, dsn)
	exec(t, pool, `insert into payments (id, key, token, amount_cents, currency, state, created_at)
		select gen_random_uuid(), 'k' || n, 'tok_ok', 5, 'EUR', 'authorised', '2026-01-01' from generate_series(1, 2) n`)
	exec(t, pool, `insert into ledger_entries (payment_id, account, cents)
		select id, account, cents from payments, (values ('customer', -5), ('held', 5)) e (account, cents)`)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(context.Background(), config, paymentspg.Migrations); err != nil {
		t.Fatal(err)
	}
	store := paymentspg.New(pool)
	p, err := store.OfSaga(context.Background(), "k1")
	if err != nil || p.State != payments.Authorised || !payments.IsOrderID(p.OrderID) || !p.UpdatedAt.Equal(p.CreatedAt) {
		t.Fatalf("got %+v, %v", p, err)
	}
	err = pg.InTx(context.Background(), pool, func(tx pgx.Tx) error {
		return paymentspg.Move(context.Background(), tx, p, payments.Capture, p.CreatedAt)
	})
	if err != nil {
		t.Errorf("it cannot be captured: %v", err)
	}
}

const stored = `
with p as (
	insert into payments (id, key, order_id, token, method, amount_cents, currency, state, created_at, updated_at)
	values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'tok_ok', 'card', 5, 'EUR', 'authorised', now(), now())
	returning id
)
insert into ledger_entries (payment_id, operation, account, cents)
select id, 'authorise', account, cents from p, (values ('customer', -5), ('held', 5)) e (account, cents)`

func TestTheDatabaseRefusesABadLedger(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	exec(t, pool, stored)
	for name, sql := range map[string]string{
		"added":   "insert into ledger_entries (payment_id, operation, account, cents) select id, 'capture', 'held', 1 from payments",
		"changed": "update ledger_entries set cents = cents - 1 where account = 'held'",
		"removed": "delete from ledger_entries where account = 'held'",
	} {
		if _, err := pool.Exec(context.Background(), sql); !pg.IsCheck(err, "ledger_sum") {
			t.Errorf("%s: %v", name, err)
		}
	}
	const twice = `insert into ledger_entries (payment_id, operation, account, cents)
		select payment_id, operation, account, cents from ledger_entries`
	if _, err := pool.Exec(context.Background(), twice); !pg.IsUnique(err, "ledger_entries_once") {
		t.Errorf("the same operation twice: %v", err)
	}
}

func TestTheTokenIsMarkedForTheWarehouse(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	var comment string
	err := pool.QueryRow(context.Background(), `select col_description('payments'::regclass, attnum) from pg_attribute
		where attrelid = 'payments'::regclass and attname = 'token'`).Scan(&comment)
	if err != nil || comment != "warehouse: hash" {
		t.Errorf("got %q, %v", comment, err)
	}
}

func TestAttemptsAreCountedOnceEach(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	attempts := [2]*paymentspg.Attempts{paymentspg.NewAttempts(pool), paymentspg.NewAttempts(pool)}
	var all sync.WaitGroup
	counted := make(chan int, 16)
	for i := range cap(counted) {
		all.Go(func() {
			n, err := attempts[i%2].Count(context.Background(), "k", payments.Capture)
			if err != nil {
				t.Error(err)
			}
			counted <- n
		})
	}
	all.Wait()
	close(counted)
	seen := map[int]bool{}
	for n := range counted {
		seen[n] = true
	}
	if len(seen) != cap(counted) || !seen[1] || !seen[cap(counted)] {
		t.Errorf("counted %v", seen)
	}
	if n, err := attempts[0].Count(context.Background(), "k", payments.Refund); n != 1 || err != nil {
		t.Errorf("another operation: %d, %v", n, err)
	}
}

func TestOldAttemptsAreForgotten(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, paymentspg.Migrations)
	exec(t, pool, `insert into provider_attempts (key, operation, updated_at) values
		('old', 'capture', now() - interval '61 days'), ('new', 'capture', now() - interval '59 days')`)
	if err := clean.New(pool, slog.New(slog.DiscardHandler), nil, paymentspg.Cleaners()...).Round(context.Background()); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := pool.QueryRow(context.Background(), "select string_agg(key, ' ') from provider_attempts").Scan(&left); err != nil || left != "new" {
		t.Errorf("left %q, %v", left, err)
	}
}
