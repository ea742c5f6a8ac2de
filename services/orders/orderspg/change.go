package orderspg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// change is one arrow between two statuses. refuse says why an order in
// another status than from does not take it.
type change struct {
	from, to orders.Status
	refuse   func(orders.Status) error
}

// Clocks of two instances differ: an order is never updated before it was made.
const changeOrder = `
update orders set status = $3, version = version + 1, updated_at = greatest(coalesce($4, now()), updated_at)
where id = $1 and status = $2`

// apply locks the order's row, which decides among parallel changes. Without a
// time it is the transaction's.
func (c change) apply(ctx context.Context, tx pgx.Tx, id string, at *time.Time) error {
	if !orders.IsID(id) {
		return orders.NotFound()
	}
	tag, err := tx.Exec(ctx, changeOrder, id, c.from, c.to, at)
	if err != nil {
		return pg.Fault("make order "+string(c.to), err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	var status orders.Status
	err = tx.QueryRow(ctx, "select status from orders where id = $1", id).Scan(&status)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return orders.NotFound()
	case err != nil:
		return pg.Fault("look at the order", err)
	case status == c.from:
		// Made so by a transaction that was committed between the two statements.
		return &fault.Error{Kind: fault.Contended, Message: "the order was " + string(status) + " just now", RetryAfter: time.Second}
	}
	return c.refuse(status)
}
