// Package coordinatorhttp is the coordinator's HTTP API: the contract's calls
// that change orders, and the operators' view of transactions.
package coordinatorhttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/coordinator"
	"bookstore/services/kit/web"
)

// api holds the handlers.
type api struct{ service *coordinator.Service }

// Routes adds the coordinator's calls to app. Who may read transactions is
// checked by the gateway, the only service let in.
func Routes(app fiber.Router, service *coordinator.Service) {
	a := api{service}
	app.Post("/orders", web.AcceptJSON, a.placeOrder)
	app.Post("/orders/:id/cancel", web.AcceptJSON, a.cancelOrder)
	app.Get("/transactions", web.AcceptJSON, a.listTransactions)
	app.Get("/transactions/:gid", web.AcceptJSON, a.getTransaction)
}
