package web

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/kit/fault"
)

// drainLimit is how much of a body that is too large is still read. Answering
// with bytes left unread resets the connection, and a reset may overtake the
// answer: the client, or the proxy before us, would see no problem but a 503.
const drainLimit = 64 << 20

// limitBody reads the body, which Fiber streams, up to the limit.
func (s *server) limitBody(c *fiber.Ctx) error {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		return c.Next()
	}
	body, err := io.ReadAll(io.LimitReader(stream, int64(s.BodyLimit)+1))
	if err != nil {
		c.Context().SetConnectionClose()
		return fault.New(fault.MalformedRequest, "the body cannot be read to its end")
	}
	if len(body) > s.BodyLimit {
		if n, err := io.CopyN(io.Discard, stream, drainLimit); err == nil || n == drainLimit {
			c.Context().SetConnectionClose()
		}
		return fault.Newf(fault.BodyTooLarge, "a body may have %d bytes", s.BodyLimit)
	}
	c.Request().SetBodyRaw(body)
	return c.Next()
}
