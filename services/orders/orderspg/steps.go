package orderspg

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

// CreateOrder stores the order of a checkout, which has been paid for. Undone,
// the order stays, as a cancelled one.
var CreateOrder = participant.Step[orders.Order]{
	Do: func(ctx context.Context, tx pgx.Tx, _ participant.Key, o orders.Order) (any, error) {
		return changed{o.ID}, place(ctx, tx, o, orders.Paid)
	},
	Undo: change{orders.Paid, orders.Cancelled, orders.NotCancellable}.undo,
}

// MarkReturned takes the paid order of an id back; of two returns it refuses the
// second.
var MarkReturned = participant.Step[string]{
	Do: func(ctx context.Context, tx pgx.Tx, _ participant.Key, id string) (any, error) {
		return changed{id}, change{orders.Paid, orders.Returned, orders.NotReturnable}.apply(ctx, tx, id, nil)
	},
	Undo: change{orders.Returned, orders.Paid, orders.NotReturnable}.undo,
}

// changed is the result of both steps: what their undo needs to know.
type changed struct {
	OrderID string `json:"orderId"`
}

// undo makes the change to the order of a step's result.
func (c change) undo(ctx context.Context, tx pgx.Tx, _ participant.Key, result json.RawMessage) error {
	var done changed
	if err := json.Unmarshal(result, &done); err != nil {
		return fault.Wrap("read result", err)
	}
	return c.apply(ctx, tx, done.OrderID, nil)
}
