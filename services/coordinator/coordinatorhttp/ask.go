package coordinatorhttp

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/web"
)

// askRequest says which branch is in doubt; txn/branch/branchhttp sends it.
type askRequest struct {
	Branch string `json:"branch"`
}

// askAnswer is the decision, and what a message about the branch needs.
type askAnswer struct {
	Decision string    `json:"decision"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

func (a api) ask(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	var request askRequest
	if err := web.DecodeJSON(c, &request); err != nil {
		return err
	}
	answer, err := a.service.Ask(web.Context(c), c.Params("gid"), request.Branch)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, askAnswer{string(answer.Verdict), answer.Branches, answer.Deadline})
}
