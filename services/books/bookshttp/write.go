package bookshttp

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

func (h *handler) create(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	var body draftJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	draft, err := body.draft().Check(h.now())
	if err != nil {
		return err
	}
	return h.once(c, func(ctx context.Context, store books.Store) error {
		book, err := store.Create(ctx, draft)
		if err != nil {
			return err
		}
		return answerCreated(c, book)
	})
}

func answerCreated(c *fiber.Ctx, book books.Book) error {
	c.Set(fiber.HeaderLocation, "/books/"+strconv.FormatInt(book.ID, 10))
	return answerBook(c, fiber.StatusCreated, book)
}

func (h *handler) put(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	version, given := ifMatch(c)
	if !given {
		return fault.New(fault.VersionRequired, "If-Match must carry the ETag of the book that was read")
	}
	var body entryJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	entry, err := body.entry().Check(h.now())
	if err != nil {
		return err
	}
	return h.edit(c, id, version, func(books.Entry) (books.Entry, error) { return entry, nil })
}

func (h *handler) patch(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	version, _ := ifMatch(c)
	var body patchJSON
	if err := web.DecodeAs(c, &body, web.JSONType, "application/merge-patch+json"); err != nil {
		return err
	}
	return h.edit(c, id, version, func(entry books.Entry) (books.Entry, error) {
		return body.apply(entry).Check(h.now())
	})
}

func (h *handler) edit(c *fiber.Ctx, id int64, version *int64, edit func(books.Entry) (books.Entry, error)) error {
	book, err := h.store.Edit(web.Context(c), id, version, edit)
	if err != nil {
		return err
	}
	return answerBook(c, fiber.StatusOK, book)
}

func (h *handler) delete(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	version, _ := ifMatch(c)
	if err := h.store.Delete(web.Context(c), id, version); err != nil {
		return err
	}
	c.Status(fiber.StatusNoContent)
	return nil
}

func (h *handler) adjust(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	var body struct {
		Delta int64 `json:"delta"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := books.CheckDelta(body.Delta); err != nil {
		return err
	}
	return h.once(c, func(ctx context.Context, store books.Store) error {
		left, err := store.Adjust(ctx, id, body.Delta)
		if err != nil {
			return err
		}
		return web.JSON(c, fiber.StatusOK, showAvailability(left))
	})
}
