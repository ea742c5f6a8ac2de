package web

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
)

const (
	// firstPiece is the buffer that is allocated before any of a body has arrived.
	firstPiece = 4 << 10
	// drainLimit and drainTimeout are how much of a refused body is still read, and
	// for how long. Answering with bytes left unread resets the connection, and a
	// reset may overtake the answer: the client, or the proxy before us, would see no
	// problem but a 503.
	drainLimit   = 64 << 20
	drainTimeout = time.Second
	// headerDeclared carries a body's length past fasthttp: see hideLength.
	headerDeclared = "X-Declared-Length"
)

// intake is a body that has not been read yet, or has been.
type intake struct {
	server *server
	stream io.Reader
	body   []byte
	err    error
	held   int64 // bytes of the server's budget
	begun  bool
	ended  bool // the stream is read to its end
}

type intakeKey struct{}

// Body reads the request's body, of at most limit bytes; 0 means Options.BodyLimit. It is the only way to read a body. A
// handler calls it once it knows that it will serve the request, so that a request refused by its head costs no memory.
// Later calls return the same result. The bytes must not be changed, and are valid until the request is answered.
//
// Errors are fault.BodyTooLarge, fault.Overloaded while the bodies of all requests
// fill Options.BodyBudget, and fault.MalformedRequest for a body that does not
// come to its end within Options.BodyTimeout.
func Body(c *fiber.Ctx, limit int) ([]byte, error) {
	in, ok := c.Locals(intakeKey{}).(*intake)
	if !ok {
		return c.Request().Body(), nil // there is none, or the app is not of New
	}
	if !in.begun {
		in.begun = true
		if limit == 0 {
			limit = in.server.BodyLimit
		}
		in.body, in.err = in.read(c.Context(), limit)
		if in.err == nil {
			c.Request().SetBodyRaw(in.body) // for third-party code that reads it from Fiber
		}
	}
	return in.body, in.err
}

// keepBody defers reading the body to Body. After the handler it discards what was not read, so that the connection can
// be used again.
func (s *server) keepBody(c *fiber.Ctx) error {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		return c.Next()
	}
	in := &intake{server: s, stream: stream}
	c.Locals(intakeKey{}, in)
	defer in.finish(c.Context())
	return c.Next()
}

func (in *intake) read(ctx *fasthttp.RequestCtx, limit int) ([]byte, error) {
	declared := ctx.Request.Header.ContentLength()
	tooLarge := fault.Newf(fault.BodyTooLarge, "a body may have %d bytes", limit)
	if declared > limit {
		return nil, tooLarge
	}
	most := limit + 1 // one more tells that it is too large
	if declared >= 0 {
		most = declared
	}
	_ = ctx.Conn().SetReadDeadline(time.Now().Add(in.server.BodyTimeout))
	var body []byte
	for {
		if len(body) == cap(body) && len(body) < most {
			grown := min(most, max(firstPiece, 2*cap(body)))
			if err := in.reserve(grown - cap(body)); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, grown), body...)
		}
		n, err := in.stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, tooLarge
		case errors.Is(err, io.EOF):
			in.ended = true
			return body, nil
		case err != nil:
			return nil, in.unfinished(err)
		}
	}
}

func (in *intake) unfinished(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return fault.Newf(fault.MalformedRequest, "the body did not come to its end within %s", in.server.BodyTimeout)
	}
	return fault.New(fault.MalformedRequest, "the body cannot be read to its end")
}

// reserve takes bytes from the budget that all bodies of the process share.
func (in *intake) reserve(n int) error {
	in.held += int64(n)
	if in.server.bodies.Add(int64(n)) > int64(in.server.BodyBudget) {
		return &fault.Error{Kind: fault.Overloaded, RetryAfter: time.Second, Message: "too many bodies at once: come back a little later"}
	}
	return nil
}

// finish returns a body's bytes to the budget. It discards what is left of the body, unless the connection will be
// closed anyway, and closes the connection if the body does not end in time.
func (in *intake) finish(ctx *fasthttp.RequestCtx) {
	in.server.bodies.Add(-in.held)
	if in.ended || ctx.RequestBodyStream() == nil {
		return
	}
	if in.err == nil || fault.KindOf(in.err) != fault.MalformedRequest {
		_ = ctx.Conn().SetReadDeadline(time.Now().Add(drainTimeout))
		if _, err := io.CopyN(io.Discard, in.stream, drainLimit); errors.Is(err, io.EOF) {
			return
		}
	}
	ctx.SetConnectionClose()
}

// bodies counts the bytes that bodies hold.
type bodies = atomic.Int64

// hideLength keeps fasthttp from reading the first 8 KiB of a body before it calls the handler, by making the body look
// chunked, of which fasthttp reads nothing by itself. showLength undoes it.
func hideLength(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	switch n := h.ContentLength(); {
	case n > 0:
		h.SetContentLength(-1)
		h.Set(headerDeclared, strconv.Itoa(n))
	case n == -1:
		h.Del(headerDeclared) // a client's
	}
	return fasthttp.RequestConfig{}
}

func showLength(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if h := &ctx.Request.Header; h.ContentLength() == -1 {
			if n, err := strconv.Atoi(string(h.Peek(headerDeclared))); err == nil {
				h.Del(headerDeclared)
				h.SetContentLength(n)
			}
		}
		next(ctx)
	}
}
