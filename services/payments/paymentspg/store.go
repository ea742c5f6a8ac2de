// Package paymentspg keeps payments, their ledger and the simulated provider's
// memory in PostgreSQL.
package paymentspg

import (
	"context"
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
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

// New makes a store. The pool need not be connected yet.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Get implements payments.Store.
func (s *Store) Get(ctx context.Context, id string) (payments.Payment, error) {
	p, err := one(ctx, s.pool, "where id = $1", id)
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
	return one(ctx, s.pool, "where order_id = $1", orderID)
}

// OfSaga returns the payment that a saga authorised, or one in the state Nothing.
func (s *Store) OfSaga(ctx context.Context, saga string) (payments.Payment, error) {
	return one(ctx, s.pool, "where key = $1", saga)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const selectPayment = `
select id::text, key, order_id::text, token, method, amount_cents, currency, state, created_at, updated_at
from payments `

// one returns a payment in the state Nothing when there is none.
func one(ctx context.Context, q querier, rest string, arg any) (p payments.Payment, err error) {
	err = q.QueryRow(ctx, selectPayment+rest, arg).Scan(&p.ID, &p.Key, &p.OrderID, &p.Token, &p.Method,
		&p.AmountCents, &p.Currency, &p.State, &p.CreatedAt, &p.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return payments.Payment{}, nil
	}
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return p, pg.Fault("get payment", err)
}
