package paymentspg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/payments"
	"bookstore/services/platform/pg"
)

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

// Authorise stores a payment that the provider has authorised, in tx. It is
// refused when the order has one already.
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

// Decline stores a payment that the provider has declined, once.
func (s *Store) Decline(ctx context.Context, p payments.Payment) error {
	_, err := s.pool.Exec(ctx, decline, p.ID, p.Key, p.OrderID, p.Token, p.Method, p.AmountCents, p.Currency, p.CreatedAt)
	return pg.Fault("store declined payment", err)
}

// Clocks of two instances differ: a payment is never updated before it was made.
const move = `
with moved as (
	update payments set state = $2, updated_at = greatest($3, updated_at) where id = $1
)
insert into ledger_entries (payment_id, operation, account, cents)
select $1, $4, e.account, e.cents from unnest($5::text[], $6::bigint[]) as e (account, cents)`

// Lock returns the payment with its row locked in tx, or one in the state Nothing.
func Lock(ctx context.Context, tx pgx.Tx, id string) (payments.Payment, error) {
	return one(ctx, tx, "where id = $1 for update", id)
}

// Move does op to a payment that Lock returned and writes the ledger, in tx, or
// refuses to.
func Move(ctx context.Context, tx pgx.Tx, p payments.Payment, op payments.Operation, at time.Time) error {
	to, err := p.State.After(op)
	if err != nil || to == p.State {
		return err
	}
	accounts, cents := columns(payments.Entries(op, p.AmountCents))
	_, err = tx.Exec(ctx, move, p.ID, to, at, op, accounts, cents)
	return pg.Fault("move money", err)
}

func columns(entries []payments.Entry) (accounts []string, cents []int64) {
	for _, e := range entries {
		accounts, cents = append(accounts, string(e.Account)), append(cents, e.Cents)
	}
	return accounts, cents
}
