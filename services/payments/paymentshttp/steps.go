package paymentshttp

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/step"
)

// Steps does and undoes the steps of sagas that move money.
type Steps interface {
	Authorise(ctx context.Context, k step.Key, r payments.Request) (json.RawMessage, error)
	UndoAuthorise(ctx context.Context, k step.Key) error
	Capture(ctx context.Context, k step.Key, orderID string) (json.RawMessage, error)
	UndoCapture(ctx context.Context, k step.Key) error
	Refund(ctx context.Context, k step.Key, orderID string) (json.RawMessage, error)
	UndoRefund(ctx context.Context, k step.Key) error
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

// Participate adds the steps authorise, capture and refund, spoken as
// txn/step/stephttp does. Its routes would open the transaction before the
// provider is asked, which is why they are not used here.
func Participate(app fiber.Router, s Steps) {
	serve(app, "authorise", func(ctx context.Context, k step.Key, p authoriseJSON) (json.RawMessage, error) {
		return s.Authorise(ctx, k, payments.Request(p))
	}, s.UndoAuthorise)
	serve(app, "capture", func(ctx context.Context, k step.Key, p orderJSON) (json.RawMessage, error) {
		return s.Capture(ctx, k, p.OrderID)
	}, s.UndoCapture)
	serve(app, "refund", func(ctx context.Context, k step.Key, p orderJSON) (json.RawMessage, error) {
		return s.Refund(ctx, k, p.OrderID)
	}, s.UndoRefund)
}

type answerJSON struct {
	Result json.RawMessage `json:"result"`
}

// serve adds POST /internal/sagas/:saga/steps/{name}/do and /undo.
func serve[P any](app fiber.Router, name string,
	do func(context.Context, step.Key, P) (json.RawMessage, error), undo func(context.Context, step.Key) error,
) {
	path := "/internal/sagas/:saga/steps/" + name
	app.Post(path+"/do", func(c *fiber.Ctx) error {
		var body struct {
			Payload *P `json:"payload"`
		}
		k, err := decode(c, name, &body)
		if err != nil {
			return err
		}
		if body.Payload == nil {
			return fault.Invalid(fault.Field{Field: "payload", Code: "required"})
		}
		result, err := do(web.Context(c), k, *body.Payload)
		return reply(c, result, err)
	})
	app.Post(path+"/undo", func(c *fiber.Ctx) error {
		k, err := decode(c, name, &struct{}{})
		if err != nil {
			return err
		}
		return reply(c, nil, undo(web.Context(c), k))
	})
}

func decode(c *fiber.Ctx, name string, body any) (step.Key, error) {
	saga, err := web.PathUUID(c, "saga")
	if err != nil {
		return step.Key{}, fault.Invalid(fault.Field{Field: "saga", Code: "pattern", Detail: "must be a UUID"})
	}
	return step.Key{Saga: saga, Step: name}, web.DecodeJSON(c, body)
}

func reply(c *fiber.Ctx, result json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, answerJSON{result})
}
