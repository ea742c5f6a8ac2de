// Package bookshttp serves books over HTTP: /books to clients, and to the coordinator quotes, the branch and the steps that
// move stock.
package bookshttp

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// handler has what all calls need.
type handler struct {
	store books.Store
	now   func() time.Time
}

// Routes adds /books and /internal/quotes. now is the clock for the bounds of publication years.
func Routes(app fiber.Router, store books.Store, now func() time.Time) {
	h := &handler{store: store, now: now}

	public := app.Group("/books", web.AcceptJSON)
	public.Get("", h.list)
	public.Post("", h.create)
	public.Put("/by-source", h.putBySource)
	public.Put("/by-source/:sourceId", h.putBySource)
	public.Get("/:id", h.get)
	public.Put("/:id", h.put)
	public.Patch("/:id", h.patch)
	public.Delete("/:id", h.delete)
	public.Get("/:id/availability", h.availability)
	public.Post("/:id/stock", h.adjust)

	app.Post("/internal/quotes", h.quotes)
}

// bookID reads :id of a call without query parameters. Text that is not an id is the id of no book.
func bookID(c *fiber.Ctx) (int64, error) {
	if err := web.AllowQuery(c); err != nil {
		return 0, err
	}
	id, err := web.PathInt64(c, "id")
	if err != nil {
		return 0, fault.New(kinds.BookNotFound, "there is no such book")
	}
	return id, nil
}

// Changes are what the coordinator's calls do to the stock.
type Changes struct {
	Branch                participant.Change[books.Reservation]
	ReserveStock, Restock participant.Step[books.Reservation]
}

// linesJSON is the payload of both steps. unitPriceCents is the quoted price; restock ignores it.
type linesJSON struct {
	OrderID string       `json:"orderId"`
	Lines   []books.Line `json:"lines"`
}

// Participate adds the coordinator's calls of the books branch, whose payload is a reservation, and of the steps
// reserve_stock, which can be undone, and restock, which cannot.
func Participate(app fiber.Router, p *participant.Participant, c Changes) {
	participanthttp.Branch(app, p, c.Branch, func(r books.Reservation) books.Reservation { return r })
	step := func(name string, s participant.Step[books.Reservation], action books.Action) {
		participanthttp.Step(app, name, s.Handler(p), func(l linesJSON) books.Reservation {
			return books.Reservation{Action: action, OrderID: l.OrderID, Lines: l.Lines}
		})
	}
	step("reserve_stock", c.ReserveStock, books.Reserve)
	step("restock", c.Restock, books.Restock)
}
