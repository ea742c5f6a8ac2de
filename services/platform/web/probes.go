package web

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bookstore/services/platform/fault"
)

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
