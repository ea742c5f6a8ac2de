package paymentshttp

import (
	"context"
	"encoding/json"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/payments"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// Steps does and undoes the steps of sagas that move money.
type Steps interface {
	Authorise(ctx context.Context, k participant.Key, r payments.Request) (json.RawMessage, error)
	UndoAuthorise(ctx context.Context, k participant.Key) error
	Capture(ctx context.Context, k participant.Key, orderID string) (json.RawMessage, error)
	UndoCapture(ctx context.Context, k participant.Key) error
	Refund(ctx context.Context, k participant.Key, orderID string) (json.RawMessage, error)
	UndoRefund(ctx context.Context, k participant.Key) error
}

type authoriseJSON struct {
	OrderID     string `json:"orderId"`
	Token       string `json:"token"`
	Method      string `json:"method"`
	AmountCents int64  `json:"amountCents"`
	Currency    string `json:"currency"`
}

type orderJSON struct {
	OrderID string `json:"orderId"`
}

// Participate adds the steps authorise, capture and refund. They ask the
// provider before their transaction opens, and so are handlers of their own.
func Participate(app fiber.Router, s Steps) {
	participanthttp.Step(app, "authorise", participant.StepHandler[payments.Request]{Do: s.Authorise, Undo: s.UndoAuthorise},
		func(a authoriseJSON) payments.Request { return payments.Request(a) })
	participanthttp.Step(app, "capture", participant.StepHandler[string]{Do: s.Capture, Undo: s.UndoCapture}, orderID)
	participanthttp.Step(app, "refund", participant.StepHandler[string]{Do: s.Refund, Undo: s.UndoRefund}, orderID)
}

func orderID(o orderJSON) string { return o.OrderID }
