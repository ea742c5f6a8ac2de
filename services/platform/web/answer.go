package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

// JSONType is the content type of every success with a body.
const JSONType = "application/json"

// JSON answers with v. Text is not escaped for HTML: this is an API.
func JSON(c *fiber.Ctx, status int, v any) error {
	body, err := Encode(v)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, JSONType)
	return c.Status(status).Send(body)
}

// Encode gives the bytes that JSON sends, for those who store an answer.
func Encode(v any) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fault.Wrap("encode answer", err)
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), nil
}

// ProblemType is the content type of every failure (RFC 9457).
const ProblemType = "application/problem+json"

// HeaderFinal keeps the proxies, which retry requests that were answered with 502, 503 or 504, from retrying this one: it
// was refused to shed load, or the gateway has already retried it.
const HeaderFinal = "X-Envoy-Ratelimited"

// serverKey is where a request keeps its app's server.
type serverKey struct{}

// WriteError answers with the problem that err is. The cause of an internal
// error goes to the log and never to the client.
func WriteError(c *fiber.Ctx, err error) error {
	f := fault.As(err)
	id := requestID(c)
	if f.Kind.Status() == fiber.StatusInternalServerError {
		serverOf(c).Log.LogAttrs(Context(c), slog.LevelError, "request failed", slog.String("path", c.Path()), slog.String("error", err.Error()))
	}
	problem := map[string]any{}
	maps.Copy(problem, f.Details)
	problem["type"] = "urn:bookstore:problem:" + f.Kind.Code()
	problem["title"] = f.Kind.Title()
	problem["status"] = f.Kind.Status()
	problem["code"] = f.Kind.Code()
	problem["requestId"] = id
	if f.Message != "" {
		problem["detail"] = f.Message
	}
	if len(f.Fields) > 0 {
		problem["errors"] = f.Fields
	}
	body, err := json.Marshal(problem)
	if err != nil {
		return fault.Wrap("encode problem", err)
	}
	if wait := retryAfter(f); wait > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(wait))
	}
	if sheds(f) || (serverOf(c).Door && f.Kind.Status() > fiber.StatusInternalServerError) {
		c.Set(HeaderFinal, "true")
	}
	c.Set(fiber.HeaderContentType, ProblemType)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Status(f.Kind.Status()).Send(body)
}

// retryAfter is whole seconds, rounded up; kinds that always
// state one get one second by default.
func retryAfter(f *fault.Error) int {
	if f.RetryAfter > 0 {
		return int(math.Ceil(f.RetryAfter.Seconds()))
	}
	switch f.Kind {
	case fault.Contended, fault.InProgress, fault.RateLimited, fault.TooManyInFlight,
		fault.Unavailable, fault.CircuitOpen, fault.Overloaded:
		return int(time.Second.Seconds())
	default:
		return 0
	}
}

// answerFailure is the app's error handler: Fiber's own errors (no route,
// wrong method, unreadable request) become problems like all others.
func (s *server) answerFailure(c *fiber.Ctx, err error) error {
	c.Locals(serverKey{}, s)
	writeDefaults(&c.Response().Header)
	var routing *fiber.Error
	if !errors.As(err, &routing) {
		return WriteError(c, err)
	}
	return WriteError(c, fromFiber(routing))
}

func fromFiber(err *fiber.Error) error {
	switch kind := fault.FromProblem(err.Code, ""); {
	case kind == fault.NotFound:
		return fault.New(kind, "there is no such path")
	case kind == fault.MethodNotAllowed:
		return fault.New(kind, "the path does not take this method")
	case kind == fault.HeadTooLarge:
		return fault.Newf(kind, "address and headers may have %d bytes together", headerSize)
	case kind.Status() == err.Code:
		return fault.New(kind, "")
	case err.Code < fiber.StatusInternalServerError:
		return fault.New(fault.MalformedRequest, "the request cannot be read")
	default:
		return fault.Wrap("serve request", err)
	}
}

// serverOf is the server that c's app was made with; a Fiber app that New did
// not make gets one that logs and counts for nobody.
func serverOf(c *fiber.Ctx) *server {
	if s, ok := c.Locals(serverKey{}).(*server); ok {
		return s
	}
	return newServer(Options{})
}

// AcceptJSON refuses requests whose Accept header rules out JSON, before they
// do anything. Put it before a service's routes.
func AcceptJSON(c *fiber.Ctx) error {
	if err := RequireJSON(c); err != nil {
		return err
	}
	return c.Next()
}

// RequireJSON is AcceptJSON for a handler that has something to do before.
func RequireJSON(c *fiber.Ctx) error {
	if !accepts(c, JSONType, ProblemType) {
		return fault.New(fault.NotAcceptable, "this call answers in application/json")
	}
	return nil
}

// AcceptEvents refuses requests whose Accept header rules out a stream of
// events. Put it before the route instead of AcceptJSON.
func AcceptEvents(c *fiber.Ctx) error {
	if err := RequireEvents(c); err != nil {
		return err
	}
	return c.Next()
}

// RequireEvents is AcceptEvents for a handler that has something to do before.
func RequireEvents(c *fiber.Ctx) error {
	if !accepts(c, EventsType) {
		return fault.New(fault.NotAcceptable, "this call answers in "+EventsType)
	}
	return nil
}

// accepts tells whether the Accept header's lines, taken as one list, accept one of
// the types (RFC 9110, 12.5.1). Without a range in them they accept everything.
func accepts(c *fiber.Ctx, types ...string) bool {
	var ranges []string
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderAccept) {
		for _, element := range splitUnquoted(string(line), ',') {
			if element != "" {
				ranges = append(ranges, element)
			}
		}
	}
	if len(ranges) == 0 {
		return true
	}
	for _, offered := range types {
		if quality(ranges, offered) > 0 {
			return true
		}
	}
	return false
}

// quality is that of the most specific range that has the type; 0 is not
// acceptable. Parameters other than q do not matter: all our types are UTF-8.
func quality(ranges []string, offered string) float64 {
	family, _, _ := strings.Cut(offered, "/")
	closest, best := 0, 0.0
	for _, element := range ranges {
		parts := splitUnquoted(element, ';')
		near := 0
		switch name := strings.ToLower(parts[0]); name {
		case offered:
			near = 3
		case family + "/*":
			near = 2
		case "*/*", "*": // some old clients write the short form
			near = 1
		}
		if q := weight(parts[1:]); near > closest || (near > 0 && near == closest && q > best) {
			closest, best = near, q
		}
	}
	return best
}

// weight reads q among the parameters of a range; one that cannot be read is 1.
func weight(parameters []string) float64 {
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}

// splitUnquoted splits at separators that do not stand in a quoted string, and
// trims the parts.
func splitUnquoted(text string, separator byte) (parts []string) {
	quoted, begin := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			parts = append(parts, strings.TrimSpace(text[begin:i]))
			begin = i + 1
		}
	}
	return append(parts, strings.TrimSpace(text[begin:]))
}
