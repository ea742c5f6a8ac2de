// Package paymentshttp is the provider's interface for the other services.
package paymentshttp

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"bookstore/services/kit/fault"
	"bookstore/services/kit/web"
	"bookstore/services/payments"
)

type handler struct {
	store payments.Store
	now   func() time.Time
}

// Routes adds POST /internal/payments/authorise and GET /internal/payments/{id}.
func Routes(app fiber.Router, store payments.Store, now func() time.Time) {
	h := handler{store, now}
	app.Post("/internal/payments/authorise", h.authorise)
	app.Get("/internal/payments/:id", h.get)
}

type requestJSON struct {
	Key         string `json:"key"`
	Token       string `json:"token"`
	AmountCents int64  `json:"amountCents"`
	Currency    string `json:"currency"`
}

// paymentJSON shows no token.
type paymentJSON struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	AmountCents int64     `json:"amountCents"`
	Currency    string    `json:"currency"`
	CreatedAt   time.Time `json:"createdAt"`
}

// authorise answers 200 whether authorised or declined: both are outcomes, and
// both are what a repeat of the key gets.
func (h handler) authorise(c *fiber.Ctx) error {
	var body requestJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	request := payments.Request(body)
	if err := request.Check(); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fault.Wrap("make an id", err)
	}
	state, entries := request.Decide()
	created := h.now().UTC().Truncate(time.Microsecond)
	payment := payments.Payment{ID: id.String(), Request: request, State: state, CreatedAt: created}
	stored, err := h.store.Authorise(web.Context(c), payment, entries)
	if err != nil {
		return err
	}
	if stored.Request != request {
		return fault.New(fault.IdempotencyKeyReused, "the key stands for another payment")
	}
	return web.JSON(c, http.StatusOK, show(stored))
}

func (h handler) get(c *fiber.Ctx) error {
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

func show(p payments.Payment) paymentJSON {
	return paymentJSON{p.ID, string(p.State), p.AmountCents, p.Currency, p.CreatedAt}
}
