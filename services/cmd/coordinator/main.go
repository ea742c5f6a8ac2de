// Command coordinator places and cancels orders as two-phase commits, and runs
// checkouts and returns as sagas.
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

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/coordinator"
	"bookstore/services/coordinator/coordinatorcall"
	"bookstore/services/coordinator/coordinatorhttp"
	"bookstore/services/coordinator/coordinatorpg"
	"bookstore/services/platform/call"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
	"bookstore/services/txn/saga"
)

const name = "coordinator"

// requestDeadline is below the gateway's time for the same calls, so that the
// coordinator's own answer arrives.
const requestDeadline = 8 * time.Second

type settings struct {
	config.Service
	pg.Config
	BooksURL    string `env:"BOOKS_URL,required"`
	OrdersURL   string `env:"ORDERS_URL,required"`
	PaymentsURL string `env:"PAYMENTS_URL,required"`
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	return errors.Join(s.Service.Validate(), s.Config.Validate(), coordinator.DefaultSettings(s.Instance).Validate())
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
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

	books := call.New(s.BooksURL, call.Options{Destination: "books", Registry: registry})
	defer books.Close()
	orders := call.New(s.OrdersURL, call.Options{Destination: "orders", Registry: registry})
	defer orders.Close()
	payments := call.New(s.PaymentsURL, call.Options{Destination: "payments", Registry: registry})
	defer payments.Close()
	sagas, err := saga.NewEngine(saga.Options{
		Store:       coordinatorpg.NewSagas(pool),
		Definitions: coordinator.Sagas(),
		Participants: map[string]saga.Participant{
			coordinator.BranchBooks:    coordinatorcall.NewSteps(books),
			coordinator.BranchOrders:   coordinatorcall.NewSteps(orders),
			coordinator.BranchPayments: coordinatorcall.NewSteps(payments),
		},
		NewID: newID, Metrics: saga.NewMetrics(registry), Log: log, Settings: saga.DefaultSettings(),
	})
	if err != nil {
		return err
	}
	protocol := coordinator.DefaultSettings(s.Instance)
	service, err := coordinator.New(coordinator.Dependencies{
		Store: coordinatorpg.New(pool, protocol),
		Participants: map[string]coordinator.Participant{
			coordinator.BranchBooks:  coordinatorcall.NewParticipant(books),
			coordinator.BranchOrders: coordinatorcall.NewParticipant(orders),
		},
		Quotes:  coordinatorcall.NewQuotes(books),
		Orders:  coordinatorcall.NewOrders(orders),
		Clock:   time.Now,
		Sagas:   sagas,
		NewID:   newID,
		Metrics: coordinator.NewMetrics(registry),
		Log:     log,
	}, protocol)
	if err != nil {
		return err
	}

	warehouse := coordinatorpg.NewWarehouse(pool, registry)
	gate := &lifecycle.Gate{}
	app := web.New(web.Options{
		Service: name, Version: s.Version, Instance: s.Instance, Log: log, Registry: registry,
		Ready: gate.Ready, Health: health(pool), Deadline: requestDeadline,
	})
	if s.MembersFile != "" { // else there is nothing but a leader to read from
		app.Use([]string{"/orders", "/checkouts"}, web.TellConsistency(pg.NewTip(pool).Token))
	}
	coordinatorhttp.Routes(app, service)
	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: s.ListenAddr, Log: log, Gate: gate,
		Startup:    func(ctx context.Context) error { return pg.Startup(ctx, pool, coordinatorpg.Migrations) },
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
		Parts: []lifecycle.Part{
			{Name: "transactions", Start: service.Start, Stop: service.Stop},
			{Name: "sagas", Start: sagas.Start, Stop: sagas.Stop},
			lifecycle.Every("delete what is old", clean.Every, log, clean.New(pool, log, registry,
				coordinatorpg.Cleaners(protocol.Retention, sagas.Settings.KeepFor)...).Round),
			lifecycle.Every("look at the warehouse", coordinatorpg.WarehouseEvery, log, warehouse.Refresh),
		},
	})
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

func health(pool *pgxpool.Pool) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return map[string]error{"coordinatordb": pool.Ping(ctx)}
	}
}
