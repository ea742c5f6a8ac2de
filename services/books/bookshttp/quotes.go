package bookshttp

import (
	"fmt"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/limits"
)

// quoteJSON is the price of a book for an order that is about to be placed.
type quoteJSON struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	UnitPriceCents int64  `json:"unitPriceCents"`
	Currency       string `json:"currency"`
}

func (h *handler) quotes(c *fiber.Ctx) error {
	var body struct {
		BookIDs []int64 `json:"bookIds"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if len(body.BookIDs) == 0 || len(body.BookIDs) > limits.OrderItems {
		return fault.Invalid(fault.Field{Field: "bookIds", Code: "out_of_range", Detail: fmt.Sprintf("must be 1 to %d ids", limits.OrderItems)})
	}
	quotes, err := h.store.Quotes(web.Context(c), body.BookIDs)
	if err != nil {
		return err
	}
	return web.JSON(c, fiber.StatusOK, fiber.Map{"quotes": showQuotes(quotes)})
}

func showQuotes(quotes []books.Quote) []quoteJSON {
	shown := make([]quoteJSON, 0, len(quotes))
	for _, q := range quotes {
		shown = append(shown, quoteJSON(q))
	}
	return shown
}
