package bookshttp

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// What became of the fields that a source stated, by their names.
const (
	headerChanged   = "X-Import-Changed"
	headerKept      = "X-Import-Kept"
	headerConflicts = "X-Import-Conflicts"
)

// sourceDraftJSON is a source's record as given.
type sourceDraftJSON struct {
	draftJSON

	PriceIsInitial bool `json:"priceIsInitial"`
}

func (h *handler) putBySource(c *fiber.Ctx) error {
	sourceID, err := sourceIDOf(c)
	if err != nil {
		return err
	}
	if err := books.CheckSourceID(sourceID); err != nil {
		return err
	}
	var body sourceDraftJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if body.SourceID != "" && body.SourceID != sourceID {
		return fault.Invalid(fault.Field{Field: "sourceId", Code: "differs", Detail: "must be the one in the address, or absent"})
	}
	body.SourceID = sourceID
	draft, err := body.draft().Check(h.now())
	if err != nil {
		return err
	}
	result, err := h.store.PutBySource(web.Context(c), books.SourceDraft{Draft: draft, PriceIsInitial: body.PriceIsInitial})
	if err != nil {
		return err
	}
	for name, fields := range map[string][]string{
		headerChanged: result.Changed, headerKept: result.Kept, headerConflicts: result.Conflicts,
	} {
		if len(fields) > 0 {
			c.Set(name, strings.Join(fields, ", "))
		}
	}
	if result.Created {
		return answerCreated(c, result.Book)
	}
	return answerBook(c, fiber.StatusOK, result.Book)
}

// sourceIDOf reads the id from the path, or from the query where the path has
// none: proxies on the way refuse or rewrite a path with an encoded slash,
// backslash or dot, and leave a query alone.
func sourceIDOf(c *fiber.Ctx) (string, error) {
	if c.Params("sourceId") == "" {
		if err := web.AllowQuery(c, "sourceId"); err != nil {
			return "", err
		}
		return web.Query(c, "sourceId", books.MaxSourceID)
	}
	if err := web.AllowQuery(c); err != nil {
		return "", err
	}
	return web.PathText(c, "sourceId")
}
