package web

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
)

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

// retryAfter is whole seconds, rounded up; kinds that always ask for patience
// get one second when nothing else is said.
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
