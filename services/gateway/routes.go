package gateway

import (
	"net/http"
	"strings"
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
// use it, whether it may be sent again after a failure, whether its answer may be
// cached, and how large its body may be.
type Route struct {
	Method   string
	Pattern  string // Fiber's pattern; a path that matches none is 404
	Upstream Upstream
	Timeout  time.Duration // of the whole call, resends included; of a stream, until it begins
	Access   Access
	Repeat   Repeat
	Answer   Answer
	Cache    Cacheability
	Body     int // bytes that a body may have
}

// lists tells whether the route's answers may lag, but not behind the client's consistency token.
func (r Route) lists() bool {
	return r.Method == http.MethodGet && (r.Upstream == Books || r.Upstream == Orders) && !strings.Contains(r.Pattern, ":")
}

// Repeat is when a call may be sent again although the first may have arrived.
type Repeat int

// The values of Repeat.
const (
	Never   Repeat = iota // it would be done twice
	WithKey               // when it carries an Idempotency-Key
	Always                // it is a read, or doing it twice is doing it once
)

// Answer is the form of a call's answer.
type Answer int

// The forms of answers.
const (
	JSON   Answer = iota // passed on when it is whole
	Events               // passed on as it comes, for as long as it comes
)

// Cacheability is how an answer may be cached. The routes table decides it for every
// call.
type Cacheability int

// How answers may be kept.
const (
	NotCached  Cacheability = iota
	CachedBook              // near and shared, coherent with every acknowledged write
	CachedList              // near, for as long as a list may lag
)

// What bodies may have. A book may have a thousand authors.
const (
	short = 16 << 10
	long  = 64 << 10
	book  = 128 << 10
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
		{http.MethodGet, "/books", Books, forRead, Anyone, Always, JSON, CachedList, short},
		{http.MethodPost, "/books", Books, forWrite, Catalogue, WithKey, JSON, NotCached, book},
		// Before :id, which would match it too.
		{http.MethodPut, "/books/by-source", Books, forWrite, Catalogue, Always, JSON, NotCached, book},
		{http.MethodPut, "/books/by-source/:sourceId", Books, forWrite, Catalogue, Always, JSON, NotCached, book},
		{http.MethodGet, "/books/:id", Books, forRead, Anyone, Always, JSON, CachedBook, short},
		{http.MethodPut, "/books/:id", Books, forWrite, Catalogue, Never, JSON, NotCached, book},
		{http.MethodPatch, "/books/:id", Books, forWrite, Catalogue, Never, JSON, NotCached, book},
		{http.MethodDelete, "/books/:id", Books, forWrite, Catalogue, Never, JSON, NotCached, short},
		{http.MethodGet, "/books/:id/availability", Books, forRead, Anyone, Always, JSON, NotCached, short},
		{http.MethodPost, "/books/:id/stock", Books, forWrite, Catalogue, WithKey, JSON, NotCached, short},

		{http.MethodGet, "/orders", Orders, forRead, Anyone, Always, JSON, NotCached, short},
		{http.MethodGet, "/orders/:id", Orders, forRead, Anyone, Always, JSON, NotCached, short},
		{http.MethodPost, "/orders", Coordinator, forTransaction, Anyone, WithKey, JSON, NotCached, long},
		{http.MethodPost, "/orders/:id/cancel", Coordinator, forTransaction, Anyone, Always, JSON, NotCached, short},
		{http.MethodPost, "/orders/:id/returns", Coordinator, forTransaction, Anyone, WithKey, JSON, NotCached, long},
		{http.MethodGet, "/returns/:id", Coordinator, forRead, Anyone, Always, JSON, NotCached, short},

		{http.MethodPost, "/checkouts", Coordinator, forTransaction, Anyone, WithKey, JSON, NotCached, long},
		{http.MethodGet, "/checkouts/:id", Coordinator, forRead, Anyone, Always, JSON, NotCached, short},
		{http.MethodGet, "/checkouts/:id/events", Coordinator, forRead, Anyone, Always, Events, NotCached, short},
		{http.MethodPost, "/checkouts/:id/approve", Coordinator, forTransaction, Anyone, Always, JSON, NotCached, short},
		{http.MethodPost, "/checkouts/:id/cancel", Coordinator, forTransaction, Anyone, Always, JSON, NotCached, short},
		{http.MethodPost, "/checkouts/:id/retry", Coordinator, forTransaction, Operators, Always, JSON, NotCached, short},

		{http.MethodGet, "/transactions", Coordinator, forRead, Operators, Always, JSON, NotCached, short},
		{http.MethodGet, "/transactions/:gid", Coordinator, forRead, Operators, Always, JSON, NotCached, short},
	}
}
