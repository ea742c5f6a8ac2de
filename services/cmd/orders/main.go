// Command orders shows orders, holds the orders branch of distributed transactions and does
// the orders steps of sagas.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/orders/ordershttp"
	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/call"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/branch/branchhttp"
	"bookstore/services/txn/step"
)

const name = "orders"

type settings struct {
	config.Service
	pg.Config
	CoordinatorURL string `env:"COORDINATOR_URL,required"` // whom branches in doubt are asked about
}

// Validate reports every problem at once.
func (s settings) Validate() error { return errors.Join(s.Service.Validate(), s.Config.Validate()) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The log goes to stdout.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, _ io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q: the environment configures it", args)
	}
	s, err := config.Load[settings](getenv)
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(stdout, s.LogLevel, name, s.Instance)
	log.Info("configuration", "effective", config.Masked(s))
	registry := telemetry.NewRegistry(name, s.Version)
	pool, err := pg.Open(context.WithoutCancel(ctx), s.Config, name, registry)
	if err != nil {
		return err
	}
	defer pool.Close()
	coordinator := call.New(s.CoordinatorURL, call.Options{Destination: "coordinator", Registry: registry})
	defer coordinator.Close()

	gate := &lifecycle.Gate{}
	app := web.New(web.Options{
		Service: name, Version: s.Version, Instance: s.Instance, Log: log, Registry: registry,
		Ready: gate.Ready, Health: health(pool),
	})
	slots := pg.NewSlots(pool)
	participant := branch.New(pool, name, log, registry, branch.Sharing(slots))
	recovery := branch.NewRecovery(participant, branchhttp.NewAsker(coordinator), registry)
	steps := step.New(pool, log, registry, step.Sharing(slots))
	replicas := pg.OpenReplicas(s.Config, pool, name, registry)
	defer replicas.Close()
	ordershttp.Routes(app, orderspg.New(pool).WithReplicas(replicas))
	ordershttp.Branch(app, participant, orderspg.Branch)
	ordershttp.Steps(app, steps, ordershttp.Changes{
		Create: orderspg.CreatePaid, Cancel: orderspg.CancelPaid, Return: orderspg.Return, Unreturn: orderspg.Unreturn,
	})
	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: s.ListenAddr, Log: log, Gate: gate,
		Startup:    func(ctx context.Context) error { return pg.Startup(ctx, pool, orderspg.Migrations) },
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
		Parts: []lifecycle.Part{
			lifecycle.Every("look at replicas", pg.LookEvery, log, replicas.Round),
			lifecycle.Every("recover branches", branch.ScanEvery, log, recovery.Round),
			lifecycle.Every("delete what is old", clean.Every, log, clean.New(pool, log, registry, orderspg.Cleaners()...).Round),
		},
	})
}

func health(pool *pgxpool.Pool) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return map[string]error{"orderdb": pool.Ping(ctx)}
	}
}
