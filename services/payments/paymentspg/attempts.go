package paymentspg

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/payments"
	"bookstore/services/platform/pg"
)

// Attempts is payments.Attempts over a pool.
type Attempts struct{ pool *pgxpool.Pool }

var _ payments.Attempts = (*Attempts)(nil)

// NewAttempts makes a counter. The pool need not be connected yet.
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
