// Package checkouthttp is the coordinator's HTTP: the API's calls that change
// orders and follow sagas, and what the coordinator reads at other services.
package checkouthttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
)

// api holds the handlers.
type api struct{ service *checkout.Service }

// Routes adds the coordinator's calls to app. Who may read transactions is
// checked by the gateway. Besides it only participants may call: they ask about branches in doubt.
func Routes(app fiber.Router, service *checkout.Service) {
	a := api{service}
	app.Post("/orders", web.AcceptJSON, a.placeOrder)
	app.Post("/orders/:id/cancel", web.AcceptJSON, a.cancelOrder)

	app.Post("/checkouts", web.AcceptJSON, a.beginCheckout)
	app.Get("/checkouts/:id", web.AcceptJSON, sagaCall(checkout.Checkout, service.Sagas.Get))
	app.Get("/checkouts/:id/events", web.AcceptEvents, a.followSaga(checkout.Checkout))
	app.Post("/checkouts/:id/approve", web.AcceptJSON, sagaCall(checkout.Checkout, service.Sagas.Approve))
	app.Post("/checkouts/:id/cancel", web.AcceptJSON, sagaCall(checkout.Checkout, service.CancelSaga))
	app.Post("/checkouts/:id/retry", web.AcceptJSON, sagaCall(checkout.Checkout, service.Sagas.Retry))
	app.Post("/orders/:id/returns", web.AcceptJSON, a.beginReturn)
	app.Get("/returns/:id", web.AcceptJSON, sagaCall(checkout.Return, service.Sagas.Get))

	txnhttp.Routes(app, service.Transactions, func(shown txnhttp.Transaction, t twophase.Transaction) transaction {
		return transaction{shown, checkout.OrderOf(t)}
	})
}

// transaction is a transaction as the contract shows it.
type transaction struct {
	txnhttp.Transaction

	OrderID string `json:"orderId,omitempty"`
}

// headerReplayed marks the answer to a request that was answered before.
const headerReplayed = "Idempotent-Replayed"

type orderRequest struct {
	CustomerID string        `json:"customerId"`
	Items      []requestItem `json:"items"`
}

type requestItem struct {
	BookID         int64  `json:"bookId"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents *int64 `json:"unitPriceCents"`
}

func (r orderRequest) domain() checkout.OrderRequest {
	out := checkout.OrderRequest{CustomerID: r.CustomerID}
	for _, item := range r.Items {
		out.Items = append(out.Items, checkout.RequestItem(item))
	}
	return out
}

func (a api) placeOrder(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	key, err := requiredKey(c)
	if err != nil {
		return err
	}
	var request orderRequest
	if err := web.DecodeJSON(c, &request); err != nil {
		return err
	}
	result, err := a.service.PlaceOrder(web.Context(c), checkout.PlaceOrder{
		Caller: web.Caller(c), Key: key, Request: request.domain(),
	})
	return answer(c, result, err)
}

func requiredKey(c *fiber.Ctx) (string, error) {
	key, err := web.IdempotencyKey(c)
	if err == nil && key == "" {
		err = fault.New(fault.IdempotencyKeyRequired, "send an Idempotency-Key of your own with each request")
	}
	return key, err
}

func (a api) cancelOrder(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return fault.New(kinds.OrderNotFound, "there is no such order")
	}
	key, err := web.IdempotencyKey(c)
	if err != nil {
		return err
	}
	if err := emptyBody(c); err != nil {
		return err
	}
	result, err := a.service.CancelOrder(web.Context(c), checkout.CancelOrder{
		Caller: web.Caller(c), Key: key, OrderID: id,
	})
	return answer(c, result, err)
}

// emptyBody refuses a body that says anything: a cancel has nothing to say.
func emptyBody(c *fiber.Ctx) error {
	if body, err := web.Body(c, 0); err != nil || len(body) == 0 {
		return err
	}
	return web.DecodeJSON(c, &struct{}{})
}

// answer sends the result of a request. A replay is sent as it was, but for
// the id of this request.
func answer(c *fiber.Ctx, r checkout.Result, err error) error {
	if r.Replayed {
		c.Set(headerReplayed, "true")
	}
	if err != nil {
		return err
	}
	if r.Location != "" {
		c.Location(r.Location)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(r.Status).Send(r.Body)
}
