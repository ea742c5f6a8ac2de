package orderspg

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// Branch is the orders branch of two-phase commits. To place an order takes one round trip unless it is refused.
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

// place stores a new order with its first status.
func place(ctx context.Context, tx pgx.Tx, o orders.Order, status orders.Status) error {
	if err := o.Check(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, placeOrder, placeArgs(o, status)...)
	switch {
	case pg.IsUnique(err, "order_items_order_id_book_id_key"):
		return fault.Invalid(fault.Field{Field: "order.items", Code: "duplicate", Detail: "the same book twice"})
	case pg.IsUnique(err, "orders_pkey"):
		return fault.Invalid(fault.Field{Field: "order.id", Code: "taken", Detail: "another order has it"})
	}
	return pg.Fault("place order", err)
}

// placeArgs are placeOrder's arguments.
func placeArgs(o orders.Order, status orders.Status) []any {
	var books, quantities, cents []int64
	var titles []string
	for _, i := range o.Items {
		books, titles = append(books, i.BookID), append(titles, i.Title)
		quantities, cents = append(quantities, i.Quantity), append(cents, i.UnitPriceCents)
	}
	return []any{o.ID, o.CustomerID, o.TotalCents, o.Currency, utc(o.CreatedAt), books, titles, quantities, cents, status}
}

// whole queues the change as a batch that fails unless all of it is done. A cancel is not queued: why it is refused depends
// on the order's status.
func whole(batch *pgx.Batch, _ string, c orders.Change) bool {
	if c.Action != orders.Place || c.Order.Check() != nil {
		return false
	}
	batch.Queue(placeOrder, placeArgs(c.Order, orders.Placed)...)
	return true
}

func cancel(ctx context.Context, tx pgx.Tx, id string, at time.Time) error {
	if orders.IsID(id) && at.IsZero() {
		return fault.Invalid(fault.Field{Field: "at", Code: "required"})
	}
	return change{orders.Placed, orders.Cancelled, orders.NotCancellable}.apply(ctx, tx, id, new(utc(at)))
}

// CreateOrder stores the paid order of a checkout. Its undo cancels the order.
var CreateOrder = participant.Step[orders.Order]{
	Do: func(ctx context.Context, tx pgx.Tx, _ participant.Key, o orders.Order) (any, error) {
		return changed{o.ID}, place(ctx, tx, o, orders.Paid)
	},
	Undo: change{orders.Paid, orders.Cancelled, orders.NotCancellable}.undo,
}

// MarkReturned makes a paid order a returned one. It takes the order's id, and refuses a second return.
var MarkReturned = participant.Step[string]{
	Do: func(ctx context.Context, tx pgx.Tx, _ participant.Key, id string) (any, error) {
		return changed{id}, change{orders.Paid, orders.Returned, orders.NotReturnable}.apply(ctx, tx, id, nil)
	},
	Undo: change{orders.Returned, orders.Paid, orders.NotReturnable}.undo,
}

// changed is the result of both steps, which their undo gets.
type changed struct {
	OrderID string `json:"orderId"`
}

// undo applies the change to the order in a step's result.
func (c change) undo(ctx context.Context, tx pgx.Tx, _ participant.Key, result json.RawMessage) error {
	var done changed
	if err := json.Unmarshal(result, &done); err != nil {
		return fault.Wrap("read result", err)
	}
	return c.apply(ctx, tx, done.OrderID, nil)
}

// change is a transition between two statuses. refuse makes the fault for an order in another status than from.
type change struct {
	from, to orders.Status
	refuse   func(orders.Status) error
}

// The clocks of two instances differ: greatest keeps updated_at from going back.
const changeOrder = `
update orders set status = $3, version = version + 1, updated_at = greatest(coalesce($4, now()), updated_at)
where id = $1 and status = $2`

// apply makes the change at a time, nil for the transaction's. The row lock of the update orders concurrent changes.
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
		return pg.Fault("read the order's status", err)
	case status == c.from:
		// A transaction that committed between the two statements made it so.
		return &fault.Error{Kind: fault.Contended, Message: "the order was " + string(status) + " just now", RetryAfter: time.Second}
	}
	return c.refuse(status)
}
