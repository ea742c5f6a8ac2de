// Package participanthttp is the participant's side of the wire: the routes that a
// coordinator calls, and the query that a participant sends to its coordinator.
// Faults travel as problems, so a refusal arrives as a refusal, and everything else
// as unknown.
package participanthttp

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/requestinfo"
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

// branchAnswer has the branch's state after the call.
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
	requestinfo.SetGID(web.Context(c), c.Params("gid"))
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

// decode reads the body and checks the key, which a handler may use before its
// participant checks it.
func decode(c *fiber.Ctx, name string, body any) (participant.Key, error) {
	k := participant.Key{Saga: c.Params("saga"), Step: name}
	if err := k.Check(); err != nil {
		return k, err
	}
	requestinfo.SetSaga(web.Context(c), k.Saga)
	return k, web.DecodeJSON(c, body)
}

func replyStep(c *fiber.Ctx, result json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, stepAnswer{result})
}

// Coordinator is the coordinator behind client.
type Coordinator struct{ client *call.Client }

var _ participant.Coordinator = Coordinator{}

// NewCoordinator makes the coordinator behind client.
func NewCoordinator(client *call.Client) Coordinator { return Coordinator{client} }

// answer is the coordinator's.
type answer struct {
	Decision string    `json:"decision"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

// QueryDecision implements participant.Coordinator over POST /internal/transactions/{gid}/ask. A refusal is an error like
// any other: it decides nothing about the branch.
func (c Coordinator) QueryDecision(ctx context.Context, gid, name string) (participant.Answer, error) {
	in := struct {
		Branch string `json:"branch"`
	}{name}
	var out answer
	if err := c.client.Do(ctx, http.MethodPost, "/internal/transactions/"+gid+"/ask", in, &out); err != nil {
		return participant.Answer{}, err
	}
	return out.read()
}

// read accepts only a complete answer. One that is empty, or that something else
// at the coordinator's address gave, decides nothing.
func (a answer) read() (participant.Answer, error) {
	switch v := participant.Verdict(a.Decision); v {
	case participant.VerdictCommit, participant.VerdictAbort, participant.VerdictPending:
		if !a.Deadline.IsZero() {
			return participant.Answer{Verdict: v, Branches: a.Branches, Deadline: a.Deadline}, nil
		}
	}
	return participant.Answer{}, fault.New(fault.OutcomeUnknown, "the coordinator gave an unreadable answer")
}
