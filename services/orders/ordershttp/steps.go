package ordershttp

import (
	"context"
	"encoding/json"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/step"
	"bookstore/services/txn/step/stephttp"
)

// Changes are what steps of sagas do to an order in their transactions. Cancel
// undoes Create, and Unreturn undoes Return.
type Changes struct {
	Create                   func(ctx context.Context, tx pgx.Tx, o orders.Order) error
	Cancel, Return, Unreturn func(ctx context.Context, tx pgx.Tx, id string) error
}

// createJSON is the payload of create_order.
type createJSON struct {
	Order placedJSON `json:"order"`
}

// orderRef is the payload of mark_returned, and the result of both steps: what
// their undo needs to know.
type orderRef struct {
	OrderID string `json:"orderId"`
}

// Steps adds the calls by which the coordinator reaches the steps of sagas:
// create_order and mark_returned.
func Steps(app fiber.Router, p *step.Participant, change Changes) {
	stephttp.Route(app, p, stephttp.Step[createJSON]{
		Name: "create_order",
		Do: func(ctx context.Context, tx pgx.Tx, _ step.Key, c createJSON) (any, error) {
			return orderRef{c.Order.ID}, change.Create(ctx, tx, c.Order.order())
		},
		Undo: undo(change.Cancel),
	})
	stephttp.Route(app, p, stephttp.Step[orderRef]{
		Name: "mark_returned",
		Do: func(ctx context.Context, tx pgx.Tx, _ step.Key, r orderRef) (any, error) {
			return r, change.Return(ctx, tx, r.OrderID)
		},
		Undo: undo(change.Unreturn),
	})
}

func undo(change func(context.Context, pgx.Tx, string) error) func(context.Context, pgx.Tx, step.Key, json.RawMessage) error {
	return func(ctx context.Context, tx pgx.Tx, _ step.Key, result json.RawMessage) error {
		var r orderRef
		if err := json.Unmarshal(result, &r); err != nil {
			return fault.Wrap("read result", err)
		}
		return change(ctx, tx, r.OrderID)
	}
}
