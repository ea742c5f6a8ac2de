// Package bookshttp speaks HTTP for books: the /books part of the contract and
// the calls that only other services make.
package bookshttp

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
)

// handler is what all calls share.
type handler struct {
	store books.Store
	now   func() time.Time
}

// Routes adds the calls to app. now is the clock that publication years are
// checked by.
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

// bookID reads :id; text that is no id is no book's.
func bookID(c *fiber.Ctx) (int64, error) {
	id, err := web.PathInt64(c, "id")
	if err != nil {
		return 0, fault.New(kinds.BookNotFound, "there is no such book")
	}
	return id, nil
}

// target reads :id of a call without query parameters.
func target(c *fiber.Ctx) (int64, error) {
	if err := web.AllowQuery(c); err != nil {
		return 0, err
	}
	return bookID(c)
}
