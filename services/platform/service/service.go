// Package service runs a server: settings, log, metrics, web app, dependencies, ordered start and stop. A server states
// its settings and how it is built from them.
package service

import (
	"context"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/call"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/program"
	"bookstore/services/platform/redis"
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
	settings, log, err := program.Prepare[S](ctx, name, env)
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
	serve := lifecycle.Options{
		Addr: s.ListenAddr, ProbeAddr: s.ProbeAddr, Log: log, Gate: gate, Startup: deps.startup, Parts: deps.parts,
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
	}
	if s.ProbeAddr == "" {
		serve.App = web.New(o)
	} else {
		serve.App, serve.Probes = web.NewApart(o)
	}
	built.Routes(serve.App)
	return lifecycle.Serve(ctx, serve)
}

// Deps opens what a server depends on, and runs what works beside its requests. Each method also registers what belongs
// to the dependency: its part of /health, its metrics, and how it is closed.
type Deps struct {
	Name     string // the server's
	Log      *slog.Logger
	Registry *prometheus.Registry

	startups []func(context.Context) error
	checks   []func(context.Context) map[string]error
	parts    []lifecycle.Part
	closers  []func()
}

// Postgres opens a pool of connections to a database's leader. The server is not ready before the database has
// all of migrations.
func (d *Deps) Postgres(database string, c pg.Config, migrations fs.FS) (*pgxpool.Pool, error) {
	// The pool outlives the signal to stop: requests in flight use it to their end.
	pool, err := pg.Open(context.Background(), c, d.Name, d.Registry)
	if err != nil {
		return nil, err
	}
	d.OnClose(pool.Close)
	d.Check(database, pool.Ping)
	d.startups = append(d.startups, func(ctx context.Context) error { return pg.Startup(ctx, pool, migrations) })
	return pool, nil
}

// Replicas opens the replicas of the database that pool leads to, for reads that may lag.
func (d *Deps) Replicas(c pg.Config, pool *pgxpool.Pool) *pg.Replicas {
	replicas := pg.OpenReplicas(c, pool, d.Name, d.Registry)
	d.OnClose(replicas.Close)
	d.Every("probe replicas", pg.ProbeEvery, replicas.Round)
	return replicas
}

// Redis opens a client of the cluster, or returns nil when c names no members: servers work without Redis.
func (d *Deps) Redis(c redis.Config) (*redis.Client, error) {
	if c.MembersFile == "" {
		return nil, nil
	}
	client, err := redis.Open(c)
	if err != nil {
		return nil, err
	}
	d.OnClose(func() { _ = client.Close() }) // the process is ending
	d.Check("redis", client.Ping)
	return client, nil
}

// Client makes a client of another service, whose name labels its metrics.
func (d *Deps) Client(destination, url string) *call.Client {
	client := call.New(url, call.Options{Destination: destination, Registry: d.Registry})
	d.OnClose(client.Close)
	return client
}

// Clean deletes rows that have been kept for long enough, as long as the server runs.
func (d *Deps) Clean(pool *pgxpool.Pool, jobs ...clean.Job) {
	d.Every("delete what is old", clean.Every, clean.New(pool, d.Log, d.Registry, jobs...).Round)
}

// Every calls do again and again, with a pause between, from the server's start to its stop. A failure is logged.
func (d *Deps) Every(name string, pause time.Duration, do func(context.Context) error) {
	d.Part(lifecycle.Every(name, pause, d.Log, do))
}

// Part adds parts that start before the server is ready, in order, and stop after its last request, in reverse.
func (d *Deps) Part(parts ...lifecycle.Part) { d.parts = append(d.parts, parts...) }

// Check adds a dependency to /health.
func (d *Deps) Check(name string, check func(context.Context) error) {
	d.Checks(func(ctx context.Context) map[string]error { return map[string]error{name: check(ctx)} })
}

// Checks adds dependencies to /health, each with its error or nil.
func (d *Deps) Checks(check func(context.Context) map[string]error) {
	d.checks = append(d.checks, check)
}

// OnClose adds what is done after the server has stopped, the last first.
func (d *Deps) OnClose(do func()) { d.closers = append(d.closers, do) }

func (d *Deps) close() {
	for _, do := range slices.Backward(d.closers) {
		do()
	}
}

func (d *Deps) startup(ctx context.Context) error {
	for _, start := range d.startups {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// health makes all checks at once: one that is away takes all the time that there is.
func (d *Deps) health(ctx context.Context) map[string]error {
	answers := make([]map[string]error, len(d.checks))
	var checking sync.WaitGroup
	for i, check := range d.checks {
		checking.Go(func() { answers[i] = check(ctx) })
	}
	checking.Wait()
	all := map[string]error{}
	for _, answer := range answers {
		maps.Copy(all, answer)
	}
	return all
}
