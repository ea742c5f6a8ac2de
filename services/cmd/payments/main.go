// Command payments stands for an outside payment provider.
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

	"bookstore/services/payments"
	"bookstore/services/payments/paymentshttp"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/teller"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
	"bookstore/services/txn/step"
)

const name = "payments"

type settings struct {
	config.Service
	pg.Config
	// ProviderTimeout is how long the provider is waited for, whether or not the
	// caller still does.
	ProviderTimeout time.Duration `env:"PROVIDER_TIMEOUT" envDefault:"8s"`
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	errs := []error{s.Service.Validate(), s.Config.Validate()}
	if s.ProviderTimeout <= payments.Lateness || s.ProviderTimeout >= s.ShutdownTimeout {
		errs = append(errs, fmt.Errorf("PROVIDER_TIMEOUT: must be above %s, in which late answers come, and below SHUTDOWN_TIMEOUT", payments.Lateness))
	}
	return errors.Join(errs...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "payments:", err)
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

	gate := &lifecycle.Gate{}
	app := web.New(web.Options{
		Service: name, Version: s.Version, Instance: s.Instance, Log: log, Registry: registry,
		Ready: gate.Ready, Health: health(pool),
	})
	store, steps := paymentspg.New(pool), step.New(pool, log, registry)
	provider := payments.NewSimulator(paymentspg.NewAttempts(pool), payments.Lateness)
	paymentshttp.Routes(app, store)
	paymentshttp.Participate(app, teller.New(steps, store, provider, s.ProviderTimeout, time.Now, registry))
	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: s.ListenAddr, Log: log, Gate: gate,
		Startup:    func(ctx context.Context) error { return pg.Startup(ctx, pool, paymentspg.Migrations) },
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
		Parts: []lifecycle.Part{
			lifecycle.Every("delete what is old", clean.Every, log, clean.New(pool, log, registry, paymentspg.Cleaners()...).Round),
		},
	})
}

func health(pool *pgxpool.Pool) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return map[string]error{"paymentdb": pool.Ping(ctx)}
	}
}
