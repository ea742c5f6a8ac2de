package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
)

// slow is what a request may take before its access line is a warning.
const slow = time.Second

// unmatched labels requests that no route took, whatever their path.
const unmatched = "unmatched"

// observe is the outermost middleware: it gives the request its id and
// deadline, stops panics, answers failures, then counts and logs the outcome.
func (s *server) observe(c *fiber.Ctx) error {
	start := time.Now()
	end := s.begin(c)
	defer end()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()

	err := s.barrier(c)
	route, failure := routeOf(c, err), err
	if err != nil {
		if err = s.answerFailure(c, err); err != nil {
			return err
		}
	}
	writeDefaults(&c.Response().Header)
	if !s.Ready() {
		c.Set(fiber.HeaderConnection, "close")
	}
	s.account(Context(c), seen{
		client: string(c.Response().Header.Peek(HeaderClientRequestID)),
		method: c.Method(), route: route, path: c.Path(), status: c.Response().StatusCode(), took: time.Since(start), shed: sheds(failure),
	})
	return nil
}

// sheds tells whether a request was refused to be rid of load.
func sheds(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Overloaded || kind == fault.CircuitOpen
}

// barrier turns a panic of the rest of the chain into an error with its stack.
func (s *server) barrier(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return c.Next()
}

func panicked(p any) error {
	return &fault.Error{Kind: fault.Internal, Op: "handle request", Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
}

// routeOf is the pattern that took the request; raw paths would be without bound.
func routeOf(c *fiber.Ctx, err error) string {
	if _, ok := errors.AsType[*fiber.Error](err); ok {
		return unmatched
	}
	return c.Route().Path
}

// seen is what is counted and logged of a request.
type seen struct {
	method, route, path string
	client              string // its own id of the request
	status              int
	took                time.Duration
	shed                bool
}

func (s *server) account(ctx context.Context, r seen) {
	s.metrics.done(r)
	level := r.level()
	if !s.Log.Enabled(ctx, level) {
		return
	}
	line := []slog.Attr{
		slog.String("method", r.method), slog.String("route", r.route), slog.String("path", r.path),
		slog.Int("status", r.status), slog.Duration("took", r.took),
	}
	if r.client != "" {
		line = append(line, slog.String("clientRequestId", r.client))
	}
	s.Log.LogAttrs(ctx, level, "request", line...)
}

// writeDefaults adds what every answer has: it is what it says it is, and nobody
// keeps what does not say that it may be kept.
func writeDefaults(h *fasthttp.ResponseHeader) {
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
}

// level is warn for what went wrong or slowly, debug for all else: at full rate
// a line for each success would cost more than the success, and one for each
// refusal more than the request that is refused.
func (r seen) level() slog.Level {
	if r.shed {
		return slog.LevelDebug
	}
	if r.status >= fiber.StatusInternalServerError || r.took >= slow {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// refuseUnknownMethods answers methods that Fiber has no routes for, and which
// it would refuse in plain text. The body stays unread, hence the close.
func (s *server) refuseUnknownMethods(app *fiber.App) fasthttp.RequestHandler {
	next := app.Server().Handler
	known := map[string]bool{}
	for _, method := range fiber.DefaultMethods {
		known[method] = true
	}
	return func(ctx *fasthttp.RequestCtx) {
		if known[string(ctx.Method())] {
			next(ctx)
			return
		}
		ctx.SetConnectionClose()
		s.fail(app, ctx, fiber.ErrMethodNotAllowed)
	}
}

// fail answers a failure of a request that did not get to the app.
func (s *server) fail(app *fiber.App, ctx *fasthttp.RequestCtx, err error) {
	c := app.AcquireCtx(ctx)
	defer app.ReleaseCtx(c)
	if err := s.answerFailure(c, err); err != nil {
		ctx.SetStatusCode(fiber.StatusInternalServerError)
	}
}

// closeSilent leaves a connection unanswered that brought no whole request head
// in time, and closes it. A proxy opens connections in advance and may first use
// one at the moment when the time is up: an answer would then pass for the
// answer to that request, which a closed connection lets it send again.
func closeSilent(answer func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(ctx *fasthttp.RequestCtx, err error) {
		if _, broken := errors.AsType[*net.OpError](err); broken {
			_ = ctx.Conn().Close()
			return
		}
		answer(ctx, err)
	}
}
