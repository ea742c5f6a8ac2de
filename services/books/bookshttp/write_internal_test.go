package bookshttp

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/web"
)

// A key is bound to what decides; after anything else the next call with it does
// the work.
func TestAKeyKeepsWhatDecides(t *testing.T) {
	t.Parallel()
	h := &handler{store: bookspg.New(pgtest.Database(t, bookspg.Migrations)), now: time.Now}
	app := web.New(web.Options{Service: "books"})
	var refusal error
	app.Post("/work", func(c *fiber.Ctx) error {
		return h.once(c, func(context.Context, books.Store) error {
			if refusal != nil {
				return refusal
			}
			return web.JSON(c, fiber.StatusOK, fiber.Map{})
		})
	})
	call := func(key string) int {
		r := httptest.NewRequest("POST", "/work", nil)
		r.Header.Set("Idempotency-Key", key)
		response, err := app.Test(r, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode
	}
	for _, kind := range fault.Kinds() {
		refusal = fault.New(kind, "no")
		decides := fault.Decides(refusal)
		if got := call(string(kind)); got != kind.Status() {
			t.Fatalf("%s was answered with %d", kind, got)
		}
		refusal = nil
		if got := call(string(kind)); (got == kind.Status()) != decides {
			t.Errorf("%s: the next call was answered with %d", kind, got)
		}
	}
}
