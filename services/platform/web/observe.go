package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
)

// slow is the duration from which a request's access log line is a warning.
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

// sheds tells whether a request was refused to shed load.
func sheds(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Overloaded || kind == fault.CircuitOpen
}

// barrier turns a panic in the handlers after it into an error with its stack.
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

// routeOf is the pattern of the route that served the request; raw paths would make unbounded labels.
func routeOf(c *fiber.Ctx, err error) string {
	if _, ok := errors.AsType[*fiber.Error](err); ok {
		return unmatched
	}
	return c.Route().Path
}

// seen is what metrics and the access log record of a request.
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
		slog.Int("status", r.status), slog.Float64("duration_seconds", r.took.Seconds()),
	}
	if r.client != "" {
		line = append(line, slog.String("client_request_id", r.client))
	}
	s.Log.LogAttrs(ctx, level, "request", line...)
}

// writeDefaults adds headers to every answer: nosniff, and no-store unless the answer has a Cache-Control of its own.
func writeDefaults(h *fasthttp.ResponseHeader) {
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
}

// level of a request's access log line: warn for failures and slow requests, info for what was to change something, debug
// for reads and what was shed. At full rate a line for each of these would cost more than the request itself.
func (r seen) level() slog.Level {
	switch {
	case r.shed:
		return slog.LevelDebug
	case r.status >= fiber.StatusInternalServerError || r.took >= slow:
		return slog.LevelWarn
	case r.method == fiber.MethodGet || r.method == fiber.MethodHead || r.route == unmatched:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// refuseUnknownMethods answers methods that Fiber has no routes for, and which it would refuse in plain text: 405 with the
// methods that the path takes, or 404. The body stays unread, hence the close.
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
		err := fiber.ErrNotFound
		if methods := methodsOf(app, string(ctx.Path())); len(methods) > 0 {
			ctx.Response.Header.Set(fiber.HeaderAllow, strings.Join(methods, ", "))
			err = fiber.ErrMethodNotAllowed
		}
		s.fail(app, ctx, err)
	}
}

// methodsOf are the methods that a path takes.
func methodsOf(app *fiber.App, path string) (methods []string) {
	for _, r := range app.GetRoutes(true) {
		if fiber.RoutePatternMatch(path, r.Path, app.Config()) && !slices.Contains(methods, r.Method) {
			methods = append(methods, r.Method)
		}
	}
	return methods
}

// fail answers a request that failed before it reached the app.
func (s *server) fail(app *fiber.App, ctx *fasthttp.RequestCtx, err error) {
	c := app.AcquireCtx(ctx)
	defer app.ReleaseCtx(c)
	if err := s.answerFailure(c, err); err != nil {
		ctx.SetStatusCode(fiber.StatusInternalServerError)
	}
}

// closeSilent closes a connection on which no complete request head came in time, without an answer. A proxy opens
// connections in advance, and may first use one just as the time is up. It would take the answer for that of its
// request; after a plain close it sends the request again.
func closeSilent(answer func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(ctx *fasthttp.RequestCtx, err error) {
		if _, broken := errors.AsType[*net.OpError](err); broken {
			_ = ctx.Conn().Close()
			return
		}
		answer(ctx, err)
	}
}

// metrics are rate, errors and duration by route pattern.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	streams  prometheus.Gauge

	// lines are the counters of what has been seen before: finding one by its
	// labels costs more than some answers do. There are no more of them than
	// routes, methods and statuses.
	mu    sync.RWMutex
	lines map[lineKey]line
}

type lineKey struct {
	method, route string
	status        int
}

type line struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, by route pattern.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer, by route pattern.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests in progress.",
		}),
		// A stream is a request that is answered when it begins, and one of these
		// until it ends.
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_streams_open", Help: "Event streams that are open.",
		}),
		lines: map[lineKey]line{},
	}
	registry.MustRegister(m.requests, m.duration, m.inFlight, m.streams)
	return m
}

func (m *metrics) done(r seen) {
	l := m.line(lineKey{r.method, r.route, r.status})
	l.requests.Inc()
	l.duration.Observe(r.took.Seconds())
}

func (m *metrics) line(key lineKey) line {
	m.mu.RLock()
	l, known := m.lines[key]
	m.mu.RUnlock()
	if known {
		return l
	}
	l = line{
		m.requests.WithLabelValues(key.method, key.route, strconv.Itoa(key.status)),
		m.duration.WithLabelValues(key.method, key.route),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines[key] = l
	return l
}
