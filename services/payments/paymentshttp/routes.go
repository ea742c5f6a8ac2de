// Package paymentshttp serves payments over HTTP: their steps to the coordinator, and their state to operators inside
// the mesh.
package paymentshttp

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

type handler struct{ store payments.Store }

// Routes adds GET /internal/payments/{id} and GET /internal/payments?orderId=.
func Routes(app fiber.Router, store payments.Store) {
	h := handler{store}
	app.Get("/internal/payments", web.AcceptJSON, h.list)
	app.Get("/internal/payments/:id", web.AcceptJSON, h.get)
}

// paymentJSON is a payment as it is shown: without its token.
type paymentJSON struct {
	ID          string    `json:"id"`
	OrderID     string    `json:"orderId"`
	State       string    `json:"state"`
	Method      string    `json:"method"`
	AmountCents int64     `json:"amountCents"`
	Currency    string    `json:"currency"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

func show(p payments.Payment) paymentJSON {
	return paymentJSON{
		ID: p.ID, OrderID: p.OrderID, State: string(p.State), Method: p.Method,
		AmountCents: p.AmountCents, Currency: p.Currency, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
}

func (h handler) get(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return err
	}
	payment, err := h.store.Get(web.Context(c), id)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, show(payment))
}

// list answers with one item at most: an order has one payment.
func (h handler) list(c *fiber.Ctx) error {
	if err := web.AllowQuery(c, "orderId"); err != nil {
		return err
	}
	order := strings.ToLower(c.Query("orderId"))
	if !payments.IsOrderID(order) {
		return fault.Invalid(fault.Field{Field: "orderId", Code: "pattern", Detail: "must be a UUID"})
	}
	payment, err := h.store.OfOrder(web.Context(c), order)
	if err != nil {
		return err
	}
	list := web.List[paymentJSON]{Items: []paymentJSON{}}
	if payment.State != payments.Nothing {
		list.Items = append(list.Items, show(payment))
	}
	return web.JSON(c, http.StatusOK, list)
}

// Steps are the payment steps of sagas, and how each is undone.
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

// Participate adds the steps authorise, capture and refund. They are plain handlers, and no participant.Step, because they
// call the provider before they begin a transaction.
func Participate(app fiber.Router, s Steps) {
	participanthttp.Step(app, "authorise", participant.StepHandler[payments.Request]{Do: s.Authorise, Undo: s.UndoAuthorise},
		func(a authoriseJSON) payments.Request { return payments.Request(a) })
	participanthttp.Step(app, "capture", participant.StepHandler[string]{Do: s.Capture, Undo: s.UndoCapture}, orderID)
	participanthttp.Step(app, "refund", participant.StepHandler[string]{Do: s.Refund, Undo: s.UndoRefund}, orderID)
}

func orderID(o orderJSON) string { return o.OrderID }
