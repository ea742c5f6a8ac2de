// Package service runs a server: settings, log, metrics, web app, dependencies, ordered start and stop. A server states
// its settings and how it is built from them.
package service

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/program"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
)

// Settings are a struct that embeds config.Service.
type Settings interface {
	program.Settings
	Server() config.Service
}

// App is what a server answers requests with. Web has what differs from web's defaults; Run sets its name, version,
// instance, log, registry, readiness and health. Routes adds the server's own routes.
type App struct {
	Web    web.Options
	Routes func(app *fiber.App)
}

// Build makes a server of its settings. What it opens by deps is closed after the server has stopped, or when Build fails.
type Build[S Settings] func(deps *Deps, settings S) (App, error)

// Main runs a server until SIGINT or SIGTERM, and exits.
func Main[S Settings](name string, build Build[S]) {
	program.Main(name, func(ctx context.Context, env program.Env) error { return Run(ctx, name, env, build) })
}

// Run is Main within env: it serves until ctx ends, and returns nil after an orderly stop (package lifecycle).
func Run[S Settings](ctx context.Context, name string, env program.Env, build Build[S]) error {
	settings, log, err := program.Prepare[S](name, env)
	if err != nil {
		return err
	}
	s := settings.Server()
	deps := &Deps{Name: name, Log: log, Registry: telemetry.NewRegistry(name, s.Version)}
	defer deps.close()
	built, err := build(deps, settings)
	if err != nil {
		return err
	}
	gate := &lifecycle.Gate{}
	o := built.Web
	o.Service, o.Version, o.Instance = name, s.Version, s.Instance
	o.Log, o.Registry, o.Ready, o.Health = log, deps.Registry, gate.Ready, deps.health
	app := web.New(o)
	built.Routes(app)
	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: s.ListenAddr, Log: log, Gate: gate, Startup: deps.startup, Parts: deps.parts,
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
	})
}
