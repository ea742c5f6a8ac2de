// Package paymentspg keeps payments and their ledger in PostgreSQL.
package paymentspg

import (
	"context"
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/kit/fault"
	"bookstore/services/kit/pg"
	"bookstore/services/payments"
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

const insertPayment = `
insert into payments (id, key, token, amount_cents, currency, state, created_at)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (key) do nothing`

const selectPayment = `select id::text, key, token, amount_cents, currency, state, created_at from payments `

// Authorise implements payments.Store.
func (s *Store) Authorise(ctx context.Context, p payments.Payment, entries []payments.Entry) (stored payments.Payment, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, insertPayment, p.ID, p.Key, p.Token, p.AmountCents, p.Currency, p.State, p.CreatedAt)
		if err != nil {
			return pg.Fault("store payment", err)
		}
		if tag.RowsAffected() == 0 {
			stored, err = one(ctx, tx, "where key = $1", p.Key)
			return err
		}
		stored = p
		for _, e := range entries {
			const insert = "insert into ledger_entries (payment_id, account, cents) values ($1, $2, $3)"
			if _, err := tx.Exec(ctx, insert, p.ID, e.Account, e.Cents); err != nil {
				return pg.Fault("write ledger", err)
			}
		}
		return nil
	})
	return stored, err
}

// Get implements payments.Store.
func (s *Store) Get(ctx context.Context, id string) (payments.Payment, error) {
	return one(ctx, s.pool, "where id = $1", id)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func one(ctx context.Context, q querier, where string, arg any) (p payments.Payment, err error) {
	err = q.QueryRow(ctx, selectPayment+where, arg).
		Scan(&p.ID, &p.Key, &p.Token, &p.AmountCents, &p.Currency, &p.State, &p.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, fault.New(fault.NotFound, "there is no such payment")
	}
	p.CreatedAt = p.CreatedAt.UTC()
	return p, pg.Fault("get payment", err)
}
