package participanthttp

import (
	"encoding/json"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/web"
	"bookstore/services/txn/participant"
)

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
