package bookshttp

import (
	"context"
	"crypto/sha256"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

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
