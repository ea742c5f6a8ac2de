// Package branchhttp lets a coordinator reach a participant over HTTP. Faults
// travel as problems, so a refusal arrives as one and everything else as unknown.
package branchhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/branch"
)

// header is what every message about a branch carries.
type header struct {
	Branch   string    `json:"branch"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

type prepareBody[P any] struct {
	header
	Payload *P `json:"payload"`
}

// answer says what became of the branch.
type answer struct {
	GID    string `json:"gid"`
	Branch string `json:"branch"`
	State  string `json:"state"`
}

// Routes adds POST /internal/transactions/:gid/prepare, /commit and /abort.
func Routes[P any](app fiber.Router, p *branch.Participant, change branch.Change[P]) {
	app.Post("/internal/transactions/:gid/prepare", func(c *fiber.Ctx) error {
		var body prepareBody[P]
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		if body.Payload == nil {
			return fault.Invalid(fault.Field{Field: "payload", Code: "required"})
		}
		m := message(c, body.header)
		return reply(c, m, "prepared", prepare(web.Context(c), p, m, change, *body.Payload))
	})
	app.Post("/internal/transactions/:gid/commit", finish(p.Commit, "committed"))
	app.Post("/internal/transactions/:gid/abort", finish(p.Abort, "aborted"))
}

func prepare[P any](ctx context.Context, p *branch.Participant, m branch.Message, change branch.Change[P], payload P) error {
	work := func(ctx context.Context, conn *pgx.Conn) error { return change.Apply(ctx, conn, m.GID, payload) }
	whole := &pgx.Batch{}
	if change.Whole != nil && change.Whole(whole, m.GID, payload) {
		return p.PrepareWhole(ctx, m, whole, work)
	}
	return p.Prepare(ctx, m, work)
}

func finish(do func(context.Context, branch.Message) error, state string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		var body header
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		m := message(c, body)
		return reply(c, m, state, do(web.Context(c), m))
	}
}

func message(c *fiber.Ctx, h header) branch.Message {
	return branch.Message{GID: c.Params("gid"), Branch: h.Branch, Branches: h.Branches, Deadline: h.Deadline}
}

func reply(c *fiber.Ctx, m branch.Message, state string, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, answer{GID: m.GID, Branch: m.Branch, State: state})
}
