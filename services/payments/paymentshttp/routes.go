// Package paymentshttp is the interface of payments for the other services, and
// for operators inside the mesh.
package paymentshttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

type handler struct{ store payments.Store }

// Routes adds GET /internal/payments/{id} and GET /internal/payments?orderId=.
func Routes(app fiber.Router, store payments.Store) {
	h := handler{store}
	app.Get("/internal/payments", web.AcceptJSON, h.list)
	app.Get("/internal/payments/:id", web.AcceptJSON, h.get)
}

// paymentJSON shows no token.
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

// list has one item at most: an order has one payment.
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
