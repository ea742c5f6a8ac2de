package orderspg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/kit/fault"
	"bookstore/services/kit/pg"
	"bookstore/services/orders"
)

// Apply makes the change in the transaction that conn is in: the work of the
// orders branch. It takes one round trip when nothing stands in its way.
func Apply(ctx context.Context, conn *pgx.Conn, _ string, c orders.Change) error {
	switch c.Action {
	case orders.Place:
		return place(ctx, conn, c.Order)
	case orders.Cancel:
		return cancel(ctx, conn, c.OrderID, c.At)
	default:
		return fault.Invalid(fault.Field{Field: "action", Code: "unknown", Detail: "must be place or cancel"})
	}
}

const placeOrder = `
with placed as (
	insert into orders (id, customer_id, status, total_cents, currency, created_at, updated_at)
	values ($1, $2, 'placed', $3, $4, $5, $5)
	returning id
)
insert into order_items (order_id, line, book_id, title, quantity, unit_price_cents)
select placed.id, i.line, i.book_id, i.title, i.quantity, i.cents
from placed, unnest($6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
	with ordinality as i (book_id, title, quantity, cents, line)`

func place(ctx context.Context, conn *pgx.Conn, o orders.Order) error {
	if err := o.Check(); err != nil {
		return err
	}
	var books, quantities, cents []int64
	var titles []string
	for _, i := range o.Items {
		books, titles = append(books, i.BookID), append(titles, i.Title)
		quantities, cents = append(quantities, i.Quantity), append(cents, i.UnitPriceCents)
	}
	_, err := conn.Exec(ctx, placeOrder, o.ID, o.CustomerID, o.TotalCents, o.Currency, utc(o.CreatedAt),
		books, titles, quantities, cents)
	if pg.IsUnique(err, "order_items_order_id_book_id_key") {
		return fault.Invalid(fault.Field{Field: "order.items", Code: "duplicate", Detail: "the same book twice"})
	}
	return pg.Fault("place order", err)
}

// Clocks of two instances differ: an order is never updated before it was made.
const cancelOrder = `
update orders set status = 'cancelled', version = version + 1, updated_at = greatest($2, updated_at)
where id = $1 and status = 'placed'`

// cancel locks the order's row, which decides among parallel cancels.
func cancel(ctx context.Context, conn *pgx.Conn, id string, at time.Time) error {
	if !orders.IsID(id) {
		return orders.NotFound()
	}
	if at.IsZero() {
		return fault.Invalid(fault.Field{Field: "at", Code: "required"})
	}
	tag, err := conn.Exec(ctx, cancelOrder, id, utc(at))
	if err != nil {
		return pg.Fault("cancel order", err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	var status orders.Status
	err = conn.QueryRow(ctx, "select status from orders where id = $1", id).Scan(&status)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return orders.NotFound()
	case err != nil:
		return pg.Fault("look at the order", err)
	case status == orders.Placed:
		// Placed by a transaction that was committed between the two statements.
		return &fault.Error{Kind: fault.Contended, Message: "the order was placed just now", RetryAfter: time.Second}
	}
	return orders.NotCancellable(status)
}
