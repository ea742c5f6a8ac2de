package bookshttp

import (
	"context"
	"crypto/sha256"
	"strconv"
	"strings"

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
	id, err := bookID(c)
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
	id, err := bookID(c)
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
	id, err := bookID(c)
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
	id, err := bookID(c)
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

// The headers that list the fields of an imported book by the effect on them (books.SourceResult).
const (
	headerChanged   = "X-Import-Changed"
	headerKept      = "X-Import-Kept"
	headerConflicts = "X-Import-Conflicts"
)

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

// sourceIDOf reads the id from the path, or from the query when the path has none: proxies refuse or rewrite paths with an
// encoded slash, backslash or dot, and leave queries alone.
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

// ifMatch reads If-Match. given reports whether the header exists; version is nil for *. Only the entry's version counts,
// because orders change the stock at any time. Several tags, or text that is not a tag, match no version.
func ifMatch(c *fiber.Ctx) (version *int64, given bool) {
	header := strings.TrimSpace(c.Get(fiber.HeaderIfMatch))
	switch header {
	case "":
		return nil, false
	case "*":
		return nil, true
	}
	tag := strings.Trim(strings.TrimPrefix(header, "W/"), `"`)
	text, _, _ := strings.Cut(tag, ".")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		number = 0
	}
	return &number, true
}

// replayedHeaders are the headers of an outcome that a repeat gets again, with its status and body.
var replayedHeaders = []string{fiber.HeaderContentType, fiber.HeaderLocation, fiber.HeaderETag, fiber.HeaderCacheControl}

// once runs do, which answers on c, and binds the answer to the request's Idempotency-Key if it has one.
func (h *handler) once(c *fiber.Ctx, do func(ctx context.Context, store books.Store) error) error {
	text, err := web.IdempotencyKey(c)
	if err != nil {
		return err
	}
	if text == "" {
		return do(web.Context(c), h.store)
	}
	body, err := web.Body(c, 0)
	if err != nil {
		return err
	}
	key := books.Key{Caller: web.Caller(c), Key: text, RequestHash: requestHash(c, body)}
	outcome, replayed, err := h.store.Once(web.Context(c), key, func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		err := do(ctx, store)
		if err == nil {
			return outcomeOf(c), false, nil
		}
		if !fault.Decides(err) {
			return books.Outcome{}, false, err
		}
		if err := web.WriteError(c, err); err != nil {
			return books.Outcome{}, false, err
		}
		return outcomeOf(c), true, nil
	})
	if err != nil {
		for _, name := range replayedHeaders { // do has set them, and its changes are rolled back
			c.Response().Header.Del(name)
		}
		return err
	}
	if replayed {
		return replay(c, outcome)
	}
	return nil
}

func requestHash(c *fiber.Ctx, body []byte) []byte {
	hash := sha256.New()
	for _, part := range []string{c.Method(), c.Path(), string(body)} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	return hash.Sum(nil)
}

// outcomeOf is c's answer so far, as an outcome.
func outcomeOf(c *fiber.Ctx) books.Outcome {
	outcome := books.Outcome{Status: c.Response().StatusCode(), Header: map[string]string{}, Body: append([]byte(nil), c.Response().Body()...)}
	for _, name := range replayedHeaders {
		if value := c.GetRespHeader(name); value != "" {
			outcome.Header[name] = value
		}
	}
	return outcome
}

// replay answers with the outcome of an earlier request. A refusal gets this request's id.
func replay(c *fiber.Ctx, outcome books.Outcome) error {
	c.Set("Idempotent-Replayed", "true")
	if outcome.Status >= fiber.StatusBadRequest {
		return web.WriteError(c, fault.ReadProblem(outcome.Status, outcome.Body))
	}
	for name, value := range outcome.Header {
		c.Set(name, value)
	}
	return c.Status(outcome.Status).Send(outcome.Body)
}
