// Package participanthttp lets a coordinator reach a participant over HTTP, and
// a participant its coordinator. Faults travel as problems, so a refusal arrives
// as one and everything else as unknown.
package participanthttp

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/call"
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

// stepAnswer has the result of a do, null for none.
type stepAnswer struct {
	Result json.RawMessage `json:"result"`
}

// Step adds POST /internal/sagas/:saga/steps/{name}/do and /undo. The payload of
// a do has the form W; convert makes the handler's P of it.
func Step[W, P any](app fiber.Router, name string, h participant.StepHandler[P], convert func(W) P) {
	path := "/internal/sagas/:saga/steps/" + name
	app.Post(path+"/do", func(c *fiber.Ctx) error {
		var body payload[W]
		k, err := decode(c, name, &body)
		if err != nil {
			return err
		}
		wire, err := body.read()
		if err != nil {
			return err
		}
		result, err := h.Do(web.Context(c), k, convert(wire))
		return replyStep(c, result, err)
	})
	app.Post(path+"/undo", func(c *fiber.Ctx) error {
		k, err := decode(c, name, &struct{}{})
		if err != nil {
			return err
		}
		return replyStep(c, nil, h.Undo(web.Context(c), k))
	})
}

// decode checks the key, since a handler may act on it before its participant does.
func decode(c *fiber.Ctx, name string, body any) (participant.Key, error) {
	k := participant.Key{Saga: c.Params("saga"), Step: name}
	if err := k.Check(); err != nil {
		return k, err
	}
	return k, web.DecodeJSON(c, body)
}

func replyStep(c *fiber.Ctx, result json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, stepAnswer{result})
}

// Asker asks the coordinator behind client what it decided.
type Asker struct{ client *call.Client }

var _ participant.Asker = Asker{}

// NewAsker makes the asker over client.
func NewAsker(client *call.Client) Asker { return Asker{client} }

// verdict is the coordinator's answer.
type verdict struct {
	Decision string    `json:"decision"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

// Ask implements participant.Asker over POST /internal/transactions/{gid}/ask.
func (a Asker) Ask(ctx context.Context, gid, name string) (participant.Verdict, error) {
	in := struct {
		Branch string `json:"branch"`
	}{name}
	var out verdict
	if err := a.client.Do(ctx, http.MethodPost, "/internal/transactions/"+gid+"/ask", in, &out); err != nil {
		return participant.Verdict{}, err
	}
	return out.read()
}

// read accepts nothing but a whole answer. One that is empty, or that comes
// from something else at the coordinator's address, decides nothing.
func (v verdict) read() (participant.Verdict, error) {
	d := participant.Decision(v.Decision)
	switch d {
	case participant.DecidedCommit, participant.DecidedAbort, participant.Undecided:
		if !v.Deadline.IsZero() {
			return participant.Verdict{Decision: d, Branches: v.Branches, Deadline: v.Deadline}, nil
		}
	}
	return participant.Verdict{}, fault.New(fault.OutcomeUnknown, "the coordinator gave an unreadable answer")
}
