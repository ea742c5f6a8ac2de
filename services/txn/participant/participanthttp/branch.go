// Package participanthttp lets a coordinator reach a participant over HTTP, and
// a participant its coordinator. Faults travel as problems, so a refusal arrives
// as one and everything else as unknown.
package participanthttp

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

// payload is the part of a body that says what is to be done.
type payload[W any] struct {
	Payload *W `json:"payload"`
}

// read is the payload, which must be there.
func (p payload[W]) read() (W, error) {
	if p.Payload == nil {
		var none W
		return none, fault.Invalid(fault.Field{Field: "payload", Code: "required"})
	}
	return *p.Payload, nil
}

// header is what every message about a branch carries.
type header struct {
	Branch   string    `json:"branch"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

// branchAnswer says what became of the branch.
type branchAnswer struct {
	GID    string `json:"gid"`
	Branch string `json:"branch"`
	State  string `json:"state"`
}

// Branch adds POST /internal/transactions/:gid/prepare, /commit and /abort. The
// payload of a prepare has the form W; convert makes the change's P of it.
func Branch[W, P any](app fiber.Router, p *participant.Participant, change participant.Change[P], convert func(W) P) {
	app.Post("/internal/transactions/:gid/prepare", func(c *fiber.Ctx) error {
		var body struct {
			header
			payload[W]
		}
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		wire, err := body.read()
		if err != nil {
			return err
		}
		m := message(c, body.header)
		return replyBranch(c, m, "prepared", change.Prepare(web.Context(c), p, m, convert(wire)))
	})
	app.Post("/internal/transactions/:gid/commit", finish(p.Commit, "committed"))
	app.Post("/internal/transactions/:gid/abort", finish(p.Abort, "aborted"))
}

func finish(do func(context.Context, participant.Message) error, state string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		var body header
		if err := web.DecodeJSON(c, &body); err != nil {
			return err
		}
		m := message(c, body)
		return replyBranch(c, m, state, do(web.Context(c), m))
	}
}

func message(c *fiber.Ctx, h header) participant.Message {
	return participant.Message{GID: c.Params("gid"), Branch: h.Branch, Branches: h.Branches, Deadline: h.Deadline}
}

func replyBranch(c *fiber.Ctx, m participant.Message, state string, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, branchAnswer{GID: m.GID, Branch: m.Branch, State: state})
}
