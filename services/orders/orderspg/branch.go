package orderspg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// Branch is the orders branch's part in distributed transactions. It takes one
// round trip when nothing stands in its way.
var Branch = participant.Change[orders.Change]{Apply: apply, Whole: whole}

func apply(ctx context.Context, tx pgx.Tx, _ string, c orders.Change) error {
	switch c.Action {
	case orders.Place:
		return place(ctx, tx, c.Order, orders.Placed)
	case orders.Cancel:
		return cancel(ctx, tx, c.OrderID, c.At)
	default:
		return fault.Invalid(fault.Field{Field: "action", Code: "unknown", Detail: "must be place or cancel"})
	}
}

const placeOrder = `
with placed as (
	insert into orders (id, customer_id, status, total_cents, currency, created_at, updated_at)
	values ($1, $2, $10, $3, $4, $5, $5)
	returning id
)
insert into order_items (order_id, line, book_id, title, quantity, unit_price_cents)
select placed.id, i.line, i.book_id, i.title, i.quantity, i.cents
from placed, unnest($6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
	with ordinality as i (book_id, title, quantity, cents, line)`

// place stores a new order with the status that it begins with.
func place(ctx context.Context, tx pgx.Tx, o orders.Order, status orders.Status) error {
	if err := o.Check(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, placeOrder, placing(o, status)...)
	switch {
	case pg.IsUnique(err, "order_items_order_id_book_id_key"):
		return fault.Invalid(fault.Field{Field: "order.items", Code: "duplicate", Detail: "the same book twice"})
	case pg.IsUnique(err, "orders_pkey"):
		return fault.Invalid(fault.Field{Field: "order.id", Code: "taken", Detail: "another order has it"})
	}
	return pg.Fault("place order", err)
}

// placing are placeOrder's arguments.
func placing(o orders.Order, status orders.Status) []any {
	var books, quantities, cents []int64
	var titles []string
	for _, i := range o.Items {
		books, titles = append(books, i.BookID), append(titles, i.Title)
		quantities, cents = append(quantities, i.Quantity), append(cents, i.UnitPriceCents)
	}
	return []any{o.ID, o.CustomerID, o.TotalCents, o.Currency, utc(o.CreatedAt), books, titles, quantities, cents, status}
}

// whole is apply for when nothing stands in the way. To place an order is one
// statement anyway; a cancel has to look at what it found.
func whole(batch *pgx.Batch, _ string, c orders.Change) bool {
	if c.Action != orders.Place || c.Order.Check() != nil {
		return false
	}
	batch.Queue(placeOrder, placing(c.Order, orders.Placed)...)
	return true
}

func cancel(ctx context.Context, tx pgx.Tx, id string, at time.Time) error {
	if orders.IsID(id) && at.IsZero() {
		return fault.Invalid(fault.Field{Field: "at", Code: "required"})
	}
	return change{orders.Placed, orders.Cancelled, orders.NotCancellable}.apply(ctx, tx, id, new(utc(at)))
}
