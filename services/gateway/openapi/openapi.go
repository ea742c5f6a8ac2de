// Package openapi is the API's own description: what every call takes and what
// it may answer, as an OpenAPI 3.1 document and as a page on which to try it.
package openapi

import (
	_ "embed"

	"github.com/gofiber/fiber/v2"
)

//go:embed openapi.json
var document []byte

// Document is the OpenAPI document. Whoever gets it must not change it.
func Document() []byte { return document }

// keep lets clients keep document and page for as long as an update of the shop
// may stay unseen.
const keep = "public, max-age=300"

// Routes adds the document at /openapi.json and the page at /docs.
func Routes(app fiber.Router) {
	app.Get("/openapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		c.Set(fiber.HeaderCacheControl, keep)
		return c.Send(document)
	})
	app.Get("/docs", page.send)
	app.Get("/docs/:asset", sendPart)
}
