// Package checkouthttp is the coordinator's HTTP: the API's calls that change
// orders and follow sagas, and what the coordinator reads at other services.
package checkouthttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/checkout"
	"bookstore/services/platform/web"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
)

// api holds the handlers.
type api struct{ service *checkout.Service }

// Routes adds the coordinator's calls to app. Who may read transactions is
// checked by the gateway. Besides it only participants are let in: they ask.
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
