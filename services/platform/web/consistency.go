package web

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"
)

// HeaderConsistency carries the consistency token: an answer to a write gives
// it, and a list that is asked for with it shows that write.
const HeaderConsistency = "X-Consistency-Token"

// TellConsistency has every write that succeeds answer with a token.
func TellConsistency(token func(context.Context) string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		err := c.Next()
		if err != nil || c.Method() == http.MethodGet || c.Method() == http.MethodHead || c.Response().StatusCode() >= http.StatusBadRequest {
			return err
		}
		c.Set(HeaderConsistency, token(Context(c)))
		return nil
	}
}
