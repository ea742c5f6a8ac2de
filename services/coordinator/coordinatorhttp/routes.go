// Package coordinatorhttp is the coordinator's HTTP API: the contract's calls
// that change orders, and the operators' view of transactions.
package coordinatorhttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/coordinator"
	"bookstore/services/platform/web"
)

// api holds the handlers.
type api struct{ service *coordinator.Service }

// Routes adds the coordinator's calls to app. Who may read transactions is
// checked by the gateway. Besides it only participants are let in: they ask.
func Routes(app fiber.Router, service *coordinator.Service) {
	a := api{service}
	app.Post("/orders", web.AcceptJSON, a.placeOrder)
	app.Post("/orders/:id/cancel", web.AcceptJSON, a.cancelOrder)

	app.Post("/checkouts", web.AcceptJSON, a.beginCheckout)
	app.Get("/checkouts/:id", web.AcceptJSON, sagaCall(coordinator.Checkout, service.Sagas.Get))
	app.Get("/checkouts/:id/events", web.AcceptEvents, a.followSaga(coordinator.Checkout))
	app.Post("/checkouts/:id/approve", web.AcceptJSON, sagaCall(coordinator.Checkout, service.Sagas.Approve))
	app.Post("/checkouts/:id/cancel", web.AcceptJSON, sagaCall(coordinator.Checkout, service.CancelSaga))
	app.Post("/checkouts/:id/retry", web.AcceptJSON, sagaCall(coordinator.Checkout, service.Sagas.Retry))
	app.Post("/orders/:id/returns", web.AcceptJSON, a.beginReturn)
	app.Get("/returns/:id", web.AcceptJSON, sagaCall(coordinator.Return, service.Sagas.Get))

	app.Get("/transactions", web.AcceptJSON, a.listTransactions)
	app.Get("/transactions/:gid", web.AcceptJSON, a.getTransaction)
	app.Post("/internal/transactions/:gid/ask", web.AcceptJSON, a.ask)
}
