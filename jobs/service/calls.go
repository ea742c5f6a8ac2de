package service

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books/bookshttp"
	"bookstore/services/checkout"
	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/gateway"
	"bookstore/services/orders/ordershttp"
	"bookstore/services/payments/paymentshttp"
)

// internal is the path under which services call each other; the gateway lets no client in there.
const internal = "/internal/"

// Call is a call that a service answers.
type Call struct {
	Method string
	Path   string         // Fiber's pattern
	Repeat gateway.Repeat // when it may be sent again although the first may have been carried out
	Stream bool           // its answer lasts until one side ends it
	Hashed bool           // each path belongs to one gateway, which keeps the answer
}

// Calls are all that the service answers for others: those of the API that the gateway passes on to it, or the whole
// API for the gateway, and those that only services make.
func Calls(service string) []Call {
	var calls []Call
	for _, r := range gateway.Routes() {
		if string(r.Upstream) == service || service == gate {
			calls = append(calls, Call{
				Method: r.Method, Path: r.Pattern, Repeat: r.Repeat, Stream: r.Answer == gateway.Events,
				Hashed: service == gate && r.Cache == gateway.CachedBook,
			})
		}
	}
	return append(calls, internalCalls(service)...)
}

// internalCalls has the service register its routes, as its command does, and keeps those that only services use. A
// handler that is never called needs nothing to work with. Each of these calls may be repeated: transactions are
// idempotent by their gid, steps by their saga and name, the rest are reads.
func internalCalls(service string) []Call {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	switch service {
	case "books":
		bookshttp.Routes(app, nil, nil)
		bookshttp.Participate(app, nil, bookshttp.Changes{})
	case "orders":
		ordershttp.Routes(app, nil)
		ordershttp.Participate(app, nil, ordershttp.Changes{})
	case "payments":
		paymentshttp.Routes(app, nil)
		paymentshttp.Participate(app, struct{ paymentshttp.Steps }{})
	case "coordinator":
		checkouthttp.Routes(app, &checkout.Service{})
	}
	var calls []Call
	for _, r := range app.GetRoutes(true) {
		// Fiber adds a HEAD for each GET.
		if strings.HasPrefix(r.Path, internal) && r.Method != http.MethodHead {
			calls = append(calls, Call{Method: r.Method, Path: r.Path, Repeat: gateway.Always})
		}
	}
	return calls
}
