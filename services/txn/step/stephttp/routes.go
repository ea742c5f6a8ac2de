// Package stephttp lets a coordinator reach the steps of sagas over HTTP. Faults
// travel as problems, so a refusal arrives as one and everything else as unknown.
package stephttp

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/step"
)

// Step is what a service does for sagas under one name; see step.Work and
// step.Reversal for the rules of Do and Undo.
type Step[P any] struct {
	Name string
	Do   func(ctx context.Context, tx pgx.Tx, k step.Key, payload P) (result any, err error)
	Undo func(ctx context.Context, tx pgx.Tx, k step.Key, result json.RawMessage) error // nil: only a tombstone
}

type doBody[P any] struct {
	Payload *P `json:"payload"`
}

// answer has the result of a do, null for none.
type answer struct {
	Result json.RawMessage `json:"result"`
}

// Route adds POST /internal/sagas/:saga/steps/{name}/do and /undo.
func Route[P any](app fiber.Router, p *step.Participant, s Step[P]) {
	path := "/internal/sagas/:saga/steps/" + s.Name
	app.Post(path+"/do", func(c *fiber.Ctx) error {
		var body doBody[P]
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		if body.Payload == nil {
			return fault.Invalid(fault.Field{Field: "payload", Code: "required"})
		}
		k := key(c, s.Name)
		result, err := p.Do(web.Context(c), k, func(ctx context.Context, tx pgx.Tx) (any, error) {
			return s.Do(ctx, tx, k, *body.Payload)
		})
		return reply(c, result, err)
	})
	app.Post(path+"/undo", func(c *fiber.Ctx) error {
		var body struct{}
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		k := key(c, s.Name)
		return reply(c, nil, p.Undo(web.Context(c), k, s.reversal(k)))
	})
}

func (s Step[P]) reversal(k step.Key) step.Reversal {
	if s.Undo == nil {
		return nil
	}
	return func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error { return s.Undo(ctx, tx, k, result) }
}

func key(c *fiber.Ctx, name string) step.Key { return step.Key{Saga: c.Params("saga"), Step: name} }

func reply(c *fiber.Ctx, result json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, answer{result})
}
