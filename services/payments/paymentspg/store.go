// Package paymentspg stores payments, their ledger and the simulated provider's counts of calls in PostgreSQL.
package paymentspg

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/payments"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are paymentdb's, numbered and forward-only.
var Migrations = func() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic("paymentspg: embedded migrations: " + err.Error())
	}
	return files
}()

// Store is payments.Store over a pool.
type Store struct{ pool *pgxpool.Pool }

var _ payments.Store = (*Store)(nil)

// New makes a store. It works as soon as the pool reaches its database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Get implements payments.Store.
func (s *Store) Get(ctx context.Context, id string) (payments.Payment, error) {
	p, err := selectOne(ctx, s.pool, "where id = $1", id)
	if err == nil && p.State == payments.Nothing {
		err = fault.New(fault.NotFound, "there is no such payment")
	}
	return p, err
}

// OfOrder implements payments.Store.
func (s *Store) OfOrder(ctx context.Context, orderID string) (payments.Payment, error) {
	if !payments.IsOrderID(orderID) {
		return payments.Payment{}, nil
	}
	return selectOne(ctx, s.pool, "where order_id = $1", orderID)
}

// OfSaga returns the payment that a saga authorised or was declined, or one in the state Nothing.
func (s *Store) OfSaga(ctx context.Context, saga string) (payments.Payment, error) {
	return selectOne(ctx, s.pool, "where key = $1", saga)
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const selectPayment = `
select id::text, key, order_id::text, token, method, amount_cents, currency, state, created_at, updated_at
from payments `

// selectOne returns a payment in the state Nothing when there is none.
func selectOne(ctx context.Context, q querier, where string, arg any) (p payments.Payment, err error) {
	err = q.QueryRow(ctx, selectPayment+where, arg).Scan(&p.ID, &p.Key, &p.OrderID, &p.Token, &p.Method,
		&p.AmountCents, &p.Currency, &p.State, &p.CreatedAt, &p.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return payments.Payment{}, nil
	}
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return p, pg.Fault("get payment", err)
}

const authorise = `
with stored as (
	insert into payments (id, key, order_id, token, method, amount_cents, currency, state, created_at, updated_at)
	values ($1, $2, $3, $4, $5, $6, $7, 'authorised', $8, $8)
	on conflict do nothing
	returning id
), written as (
	insert into ledger_entries (payment_id, operation, account, cents)
	select stored.id, 'authorise', e.account, e.cents from stored, unnest($9::text[], $10::bigint[]) as e (account, cents)
)
select count(*) from stored`

// Authorise stores, in tx, a payment that the provider has authorised. InvalidField when the order has a payment already.
func Authorise(ctx context.Context, tx pgx.Tx, p payments.Payment) error {
	accounts, cents := columns(payments.Entries(payments.Authorise, p.AmountCents))
	var stored int
	err := tx.QueryRow(ctx, authorise, p.ID, p.Key, p.OrderID, p.Token, p.Method, p.AmountCents, p.Currency,
		p.CreatedAt, accounts, cents).Scan(&stored)
	if err == nil && stored == 0 {
		_, err = payments.Authorised.After(payments.Authorise)
	}
	return pg.Fault("store payment", err)
}

const decline = `
insert into payments (id, key, order_id, token, method, amount_cents, currency, state, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, 'declined', $8, $8)
on conflict do nothing`

// Decline stores a payment that the provider has declined. Repeats change nothing.
func (s *Store) Decline(ctx context.Context, p payments.Payment) error {
	_, err := s.pool.Exec(ctx, decline, p.ID, p.Key, p.OrderID, p.Token, p.Method, p.AmountCents, p.Currency, p.CreatedAt)
	return pg.Fault("store declined payment", err)
}

// The clocks of two instances differ: greatest keeps updated_at from going back.
const move = `
with moved as (
	update payments set state = $2, updated_at = greatest($3, updated_at) where id = $1
)
insert into ledger_entries (payment_id, operation, account, cents)
select $1, $4, e.account, e.cents from unnest($5::text[], $6::bigint[]) as e (account, cents)`

// Lock returns the payment with its row locked in tx, or one in the state Nothing.
func Lock(ctx context.Context, tx pgx.Tx, id string) (payments.Payment, error) {
	return selectOne(ctx, tx, "where id = $1 for update", id)
}

// Move does op, in tx, to a payment that Lock returned, and writes the ledger. It refuses what State.After refuses.
func Move(ctx context.Context, tx pgx.Tx, p payments.Payment, op payments.Operation, at time.Time) error {
	to, err := p.State.After(op)
	if err != nil || to == p.State {
		return err
	}
	accounts, cents := columns(payments.Entries(op, p.AmountCents))
	_, err = tx.Exec(ctx, move, p.ID, to, at, op, accounts, cents)
	return pg.Fault("move money", err)
}

// columns are entries as arrays, for unnest.
func columns(entries []payments.Entry) (accounts []string, cents []int64) {
	for _, e := range entries {
		accounts, cents = append(accounts, string(e.Account)), append(cents, e.Cents)
	}
	return accounts, cents
}

// Attempts is payments.Attempts over a pool.
type Attempts struct{ pool *pgxpool.Pool }

var _ payments.Attempts = (*Attempts)(nil)

// NewAttempts makes a counter.
func NewAttempts(pool *pgxpool.Pool) *Attempts { return &Attempts{pool: pool} }

const countAttempt = `
insert into provider_attempts as a (key, operation) values ($1, $2)
on conflict (key, operation) do update set calls = a.calls + 1, updated_at = now()
returning calls`

// Count implements payments.Attempts.
func (a *Attempts) Count(ctx context.Context, key string, op payments.Operation) (n int, err error) {
	err = a.pool.QueryRow(ctx, countAttempt, key, op).Scan(&n)
	return n, pg.Fault("count attempt", err)
}

// Cleaners delete the rows of paymentdb whose retention is over. Counts of calls are kept as long as the markers of the
// steps that made the calls.
func Cleaners() []clean.Job {
	return []clean.Job{participant.StepCleaner(), clean.Tombstones(), {
		Name: "provider_attempts", Keep: participant.StepMarkersKept,
		Delete: `
delete from provider_attempts where ctid = any (array(
	select ctid from provider_attempts where updated_at < now() - $1::interval
	order by updated_at limit $2 for update skip locked))`,
		Oldest: `select updated_at from provider_attempts order by updated_at limit 1`,
	}}
}
