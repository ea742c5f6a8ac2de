package gateway

import (
	"net/http"
	"time"
)

// Upstream is a service behind the gateway.
type Upstream string

// The upstreams.
const (
	Books       Upstream = "books"
	Orders      Upstream = "orders"
	Coordinator Upstream = "coordinator"
)

// Access is who may use a route.
type Access int

// Who may use a route.
const (
	// Anyone: without a token, or with any token that is known.
	Anyone Access = iota
	// Catalogue: anyone on a development system, operators where
	// REQUIRE_OPERATOR_FOR_CATALOGUE is set.
	Catalogue
	// Operators: operator tokens only.
	Operators
)

// Route is one call of the API: where it goes, how long it may take, who may
// use it, and whether it may be sent a second time when the first came to
// nothing.
type Route struct {
	Method   string
	Pattern  string // Fiber's pattern; what matches none of them is not let in
	Upstream Upstream
	Timeout  time.Duration // of the whole call, reroute included
	Access   Access
	Repeat   Repeat
}

// Repeat is when a call may be sent again although the first may have arrived.
type Repeat int

// When a call may be sent again.
const (
	Never   Repeat = iota // it would be done twice
	WithKey               // when it carries an Idempotency-Key
	Always                // it is a read, or doing it twice is doing it once
)

const (
	forRead  = 5 * time.Second
	forWrite = 5 * time.Second
	// Longer than the coordinator takes to give up by itself (8 s), whose
	// answer tells more than a time-out here; shorter than Envoy's 15 s.
	forTransaction = 10 * time.Second
)

// Routes is the API as it is reachable from outside, and all of it.
func Routes() []Route {
	return []Route{
		{http.MethodGet, "/books", Books, forRead, Anyone, Always},
		{http.MethodPost, "/books", Books, forWrite, Catalogue, WithKey},
		{http.MethodGet, "/books/:id", Books, forRead, Anyone, Always},
		{http.MethodPut, "/books/:id", Books, forWrite, Catalogue, Never},
		{http.MethodPatch, "/books/:id", Books, forWrite, Catalogue, Never},
		{http.MethodDelete, "/books/:id", Books, forWrite, Catalogue, Never},
		{http.MethodPut, "/books/by-source/:sourceId", Books, forWrite, Catalogue, Always},
		{http.MethodGet, "/books/:id/availability", Books, forRead, Anyone, Always},
		{http.MethodPost, "/books/:id/stock", Books, forWrite, Catalogue, WithKey},

		{http.MethodGet, "/orders", Orders, forRead, Anyone, Always},
		{http.MethodGet, "/orders/:id", Orders, forRead, Anyone, Always},
		{http.MethodPost, "/orders", Coordinator, forTransaction, Anyone, WithKey},
		{http.MethodPost, "/orders/:id/cancel", Coordinator, forTransaction, Anyone, Always},

		{http.MethodGet, "/transactions", Coordinator, forRead, Operators, Always},
		{http.MethodGet, "/transactions/:gid", Coordinator, forRead, Operators, Always},
	}
}
