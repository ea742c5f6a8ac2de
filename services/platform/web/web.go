// Package web makes the Fiber apps of all services from one constructor, so
// that each has the same barriers, problems, limits, metrics and probes.
package web

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bookstore/services/platform/fault"
)

// The defaults of Options and the timeouts of every listener.
const (
	defaultBodyLimit = 128 << 10
	// 64 bodies of the largest size, an eighth of the memory of the smallest task.
	defaultBodyBudget = 8 << 20
	bodyTimeout       = 5 * time.Second
	defaultDeadline   = 10 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	// Longer than Envoy keeps an idle connection (an hour), so that it is
	// always the client who closes: a server that closes first may do so just
	// as the next request is on its way.
	idleTimeout = 65 * time.Minute
	// Room for a request's head: long cursors, tracing and token headers.
	headerSize = 16 << 10
)

// Options is what the apps differ in.
type Options struct {
	Service  string // name in /health
	Version  string // image version in /health
	Instance string // allocation id in /health
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Ready answers /ready; nil is always ready. While it is false every
	// answer tells the client to close the connection, so that connections move
	// away during a drain.
	Ready func() bool
	// Health names each dependency with its error or nil, for /health.
	Health func(context.Context) map[string]error
	// Circuits tells the state of each destination's circuit, for /health; nil:
	// there are none.
	Circuits    func() map[string]string
	BodyLimit   int           // bytes of a request body; 0 means 128 KiB
	BodyBudget  int           // bytes of all bodies at once; 0 means 8 MiB
	BodyTimeout time.Duration // for a body to come to its end; 0 means 5 s
	Deadline    time.Duration // of a request's context; 0 means 10 s
	Streams     Streams
	ServedBy    string  // value of X-Served-By in every answer; "": none
	Express     Express // nil: every request goes the usual way
	// Door is set by the service that clients reach. It gives every request an id of
	// its own, and keeps the proxies in front of it from retrying what it has
	// answered.
	Door bool
}

// server is what one app's middleware shares.
type server struct {
	Options
	metrics *metrics
	slots   chan struct{} // holds one for each stream
	bodies  bodies
}

// New makes an app with its middleware and /health, /ready and /metrics.
func New(o Options) *fiber.App {
	s := newServer(o)
	app := s.app(o.Express)
	s.probes(app)
	return app
}

// NewApart makes two apps for two listeners: one with its middleware alone, and one that has /health, /ready and /metrics.
func NewApart(o Options) (app, probes *fiber.App) {
	s := newServer(o)
	app, probes = s.app(o.Express), s.app(nil)
	s.probes(probes)
	return app, probes
}

// app makes an app with its middleware.
func (s *server) app(express Express) *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:                      s.Service,
		CaseSensitive:                true,
		StrictRouting:                true,
		Immutable:                    true,
		DisableStartupMessage:        true,
		DisablePreParseMultipartForm: true,
		StreamRequestBody:            true, // Body reads it
		ReadBufferSize:               headerSize,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		ErrorHandler:                 s.answerFailure,
	})
	app.Server().HeaderReceived = hideLength
	app.Server().Handler = showLength(s.takeExpress(express, app, s.refuseUnknownMethods(app)))
	app.Server().ErrorHandler = closeSilent(app.Server().ErrorHandler)
	app.Use(s.observe, s.keepBody)
	return app
}

func newServer(o Options) *server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	if o.Health == nil {
		o.Health = func(context.Context) map[string]error { return nil }
	}
	if o.Circuits == nil {
		o.Circuits = func() map[string]string { return nil }
	}
	o.BodyLimit = cmp.Or(o.BodyLimit, defaultBodyLimit)
	o.BodyBudget = cmp.Or(o.BodyBudget, defaultBodyBudget)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, bodyTimeout)
	o.Deadline = cmp.Or(o.Deadline, defaultDeadline)
	o.Streams = o.Streams.withDefaults()
	return &server{Options: o, metrics: newMetrics(o.Registry), slots: make(chan struct{}, o.Streams.Limit)}
}

// healthTimeout is what the dependencies get to answer in.
const healthTimeout = time.Second

// health is the answer of /health.
type health struct {
	Status       string            `json:"status"` // ok or degraded
	Service      string            `json:"service"`
	Version      string            `json:"version"`
	Instance     string            `json:"instance"`
	Dependencies map[string]string `json:"dependencies"`       // name to ok or unavailable
	Circuits     map[string]string `json:"circuits,omitempty"` // destination to closed, half_open or open
}

// probes adds /health, /ready and /metrics, which alone are seen from outside
// the mesh.
func (s *server) probes(app *fiber.App) {
	app.Get("/health", s.health)
	app.Get("/ready", s.ready)
	app.Get("/metrics", boundBody, adaptor.HTTPHandler(promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{})))
}

// boundBody reads the body for handlers that would read it without a bound.
func boundBody(c *fiber.Ctx) error {
	if _, err := Body(c, 0); err != nil {
		return err
	}
	return c.Next()
}

// health is 200 even when a dependency is away: the process is well, and
// restarting it would mend nothing. Why a dependency is away stands in the log.
func (s *server) health(c *fiber.Ctx) error {
	answer := health{
		Status: "ok", Service: s.Service, Version: s.Version, Instance: s.Instance,
		Dependencies: map[string]string{}, Circuits: s.Circuits(),
	}
	ctx, cancel := context.WithTimeout(Context(c), healthTimeout)
	defer cancel()
	for name, err := range s.Health(ctx) {
		answer.Dependencies[name] = "ok"
		if err != nil {
			answer.Status, answer.Dependencies[name] = "degraded", "unavailable"
			s.Log.WarnContext(Context(c), "dependency away", "dependency", name, "error", err.Error())
		}
	}
	return JSON(c, fiber.StatusOK, answer)
}

func (s *server) ready(c *fiber.Ctx) error {
	if !s.Ready() {
		return fault.New(fault.Unavailable, "not ready")
	}
	return JSON(c, fiber.StatusOK, fiber.Map{"ready": true})
}
