// Command books serves the catalogue and its stock.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books/announce"
	"bookstore/services/books/bookshttp"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
	"bookstore/services/platform/call"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/branch/branchhttp"
	"bookstore/services/txn/step"
)

const service = "books"

// settings are the environment of this binary.
type settings struct {
	config.Service
	DB             pg.Config
	Redis          redis.Config // whom changes are announced to; optional
	CoordinatorURL string       `env:"COORDINATOR_URL,required"` // whom branches in doubt are asked about
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.DB.Validate())
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, service+":", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The log goes to stdout.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, _ io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q: the environment configures it", args)
	}
	cfg, err := config.Load[settings](getenv)
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(stdout, cfg.LogLevel, service, cfg.Instance)
	log.Info("configuration", "config", config.Masked(cfg))
	registry := telemetry.NewRegistry(service, cfg.Version)
	pool, err := pg.Open(ctx, cfg.DB, service, registry)
	if err != nil {
		return err
	}
	defer pool.Close()
	cache, err := openRedis(cfg.Redis)
	if err != nil {
		return err
	}
	var tellCaches outbox.Announce
	if cache != nil {
		defer cache.Close() //nolint:errcheck // the process is ending
		tellCaches = coherence.NewAnnouncer(cache, log, registry).Announce
	}
	coordinator := call.New(cfg.CoordinatorURL, call.Options{Destination: "coordinator", Registry: registry})
	defer coordinator.Close()

	gate := &lifecycle.Gate{}
	app := web.New(web.Options{
		Service: service, Version: cfg.Version, Instance: cfg.Instance,
		Log: log, Registry: registry, Ready: gate.Ready,
		Health: health(pool, cache),
	})
	replicas := pg.OpenReplicas(cfg.DB, pool, service, registry)
	defer replicas.Close()
	slots := pg.NewSlots(pool)
	store, relay := bookspg.New(pool).WithReplicas(replicas).Sharing(slots), outbox.New(pool, tellCaches, log, registry)
	participant := branch.New(pool, service, log, registry, branch.Sharing(slots), branch.OnCommit(relay.Committed))
	recovery := branch.NewRecovery(participant, branchhttp.NewAsker(coordinator), registry)
	steps := step.New(pool, log, registry, step.Sharing(slots), step.OnChange(relay.Stepped))
	if cfg.DB.MembersFile != "" { // else there is nothing but a leader to read from
		app.Use("/books", web.TellConsistency(pg.NewTip(pool).Token))
	}
	bookshttp.Routes(app, announce.Store(store, relay), time.Now)
	branchhttp.Routes(app, participant, bookspg.Branch)
	bookshttp.Steps(app, steps, bookshttp.Moves{Apply: bookspg.ApplyStep, Release: bookspg.ReleaseStep})

	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: cfg.ListenAddr, Log: log, Gate: gate,
		DrainDelay: cfg.DrainDelay, ShutdownTimeout: cfg.ShutdownTimeout,
		Startup: func(ctx context.Context) error { return pg.Startup(ctx, pool, bookspg.Migrations) },
		Parts: []lifecycle.Part{
			lifecycle.Every("look at replicas", pg.LookEvery, log, replicas.Round),
			lifecycle.Every("recover branches", branch.ScanEvery, log, recovery.Round),
			lifecycle.Every("announce changes", outbox.Every, log, relay.Round),
			lifecycle.Every("delete what is old", clean.Every, log, clean.New(pool, log, registry, bookspg.Cleaners()...).Round),
		},
	})
}

// openRedis returns nil where no members are configured: there are no caches then.
func openRedis(c redis.Config) (*redis.Client, error) {
	if c.MembersFile == "" {
		return nil, nil
	}
	return redis.Open(c)
}

// health asks both at once: one that is away takes all the time that there is.
func health(pool *pgxpool.Pool, cache *redis.Client) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		var bookdb, redis error
		var asking sync.WaitGroup
		asking.Go(func() { bookdb = pool.Ping(ctx) })
		if cache != nil {
			asking.Go(func() { redis = cache.Ping(ctx) })
		}
		asking.Wait()
		found := map[string]error{"bookdb": bookdb}
		if cache != nil {
			found["redis"] = redis
		}
		return found
	}
}
