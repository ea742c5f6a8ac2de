package web

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/requestinfo"
)

// The headers that services pass on to each other.
const (
	HeaderRequestID = "X-Request-Id"
	HeaderCaller    = "X-Caller"
	// HeaderTimeout carries what is left of the caller's deadline, in
	// milliseconds: a duration, since clocks differ.
	HeaderTimeout = "X-Request-Timeout-Ms"
)

// HeaderServedBy names the instance that answered.
const HeaderServedBy = "X-Served-By"

// HeaderClientRequestID is a client's own name for its request. It is passed on,
// logged and given back where it is sane, and means nothing else.
const HeaderClientRequestID = "X-Client-Request-Id"

// sane tells whether a request id of others is kept: 1 to 64 letters, digits,
// dots, underscores and hyphens.
func sane[T string | []byte](id T) bool {
	if len(id) < 1 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// Context is the request's context: it ends at the deadline and carries the
// request id and the caller.
func Context(c *fiber.Ctx) context.Context { return c.UserContext() }

// RequestID is the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string { return requestinfo.From(ctx).RequestID }

// Caller is who the gateway says is calling; "" is anonymous.
func Caller(c *fiber.Ctx) string { return c.Get(HeaderCaller) }

// requestID keeps a sane incoming id, but at the door, and makes one otherwise.
// The answer carries it, which is also where a second call finds it.
func requestID(c *fiber.Ctx) string {
	if id := string(c.Response().Header.Peek(HeaderRequestID)); id != "" {
		return id
	}
	serverOf(c).nameRequest(c.Context())
	return string(c.Response().Header.Peek(HeaderRequestID))
}

// nameRequest answers with the request's id, and with the client's own if it
// gave one.
func (s *server) nameRequest(ctx *fasthttp.RequestCtx) {
	if theirs := ctx.Request.Header.Peek(HeaderClientRequestID); sane(theirs) {
		ctx.Response.Header.SetBytesV(HeaderClientRequestID, theirs)
	}
	if id := ctx.Request.Header.Peek(HeaderRequestID); !s.Door && sane(id) {
		ctx.Response.Header.SetBytesV(HeaderRequestID, id)
		return
	}
	var id [26]byte
	ctx.Response.Header.SetBytesV(HeaderRequestID, makeID(&id))
}

// makeID writes an id of 128 random bits. It names a request and guards nothing.
func makeID(id *[26]byte) []byte {
	var bits [16]byte
	binary.LittleEndian.PutUint64(bits[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(bits[8:], rand.Uint64())
	idAlphabet.Encode(id[:], bits[:])
	return id[:]
}

var idAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// begin gives the request its context; end must be called when it is answered.
func (s *server) begin(c *fiber.Ctx) (end context.CancelFunc) {
	deadline := s.Deadline
	if ms, err := strconv.ParseInt(c.Get(HeaderTimeout), 10, 32); err == nil && ms > 0 {
		deadline = min(deadline, time.Duration(ms)*time.Millisecond)
	}
	c.Locals(serverKey{}, s)
	if s.ServedBy != "" {
		c.Set(HeaderServedBy, s.ServedBy)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	c.SetUserContext(requestinfo.With(ctx, requestinfo.Info{RequestID: requestID(c), Caller: Caller(c)}))
	return cancel
}

// HeaderConsistency carries the consistency token: an answer to a write gives
// it, and a list requested with it shows that write.
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
