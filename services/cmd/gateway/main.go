// Command gateway is the shop's front door: it checks who calls and passes
// the calls of the API on to the services.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
	"bookstore/services/gateway/openapi"
	"bookstore/services/platform/config"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/telemetry"
	"bookstore/services/platform/web"
)

const name = "gateway"

// requestDeadline is above the longest of the routes' own.
const requestDeadline = 12 * time.Second

// servedBy is how much of the allocation's id names an instance to clients.
const servedBy = 8

type settings struct {
	config.Service
	Redis                redis.Config
	BooksURL             string `env:"BOOKS_URL,required"`
	OrdersURL            string `env:"ORDERS_URL,required"`
	CoordinatorURL       string `env:"COORDINATOR_URL,required"`
	TokensFile           string `env:"TOKENS_FILE"`
	OperatorForCatalogue bool   `env:"REQUIRE_OPERATOR_FOR_CATALOGUE" envDefault:"false"`
	CacheBytes           uint64 `env:"NEAR_CACHE_BYTES" envDefault:"33554432"`
	Limits               limit.Limits
	Resilience           gateway.Resilience
}

// Validate reports every problem at once.
func (s settings) Validate() error {
	_, err := s.upstreams()
	return errors.Join(s.Service.Validate(), s.Limits.Validate(), s.Resilience.Validate(), err)
}

func (s settings) upstreams() (map[gateway.Upstream]*url.URL, error) {
	var problems []error
	upstreams := map[gateway.Upstream]*url.URL{}
	for upstream, text := range map[gateway.Upstream]string{
		gateway.Books: s.BooksURL, gateway.Orders: s.OrdersURL, gateway.Coordinator: s.CoordinatorURL,
	} {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			problems = append(problems, fmt.Errorf("the address of %s is not an http URL", upstream))
			continue
		}
		upstreams[upstream] = u
	}
	return upstreams, errors.Join(problems...)
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
	tokens, err := gateway.NewTokens(s.TokensFile)
	if err != nil {
		return err
	}
	upstreams, err := s.upstreams()
	if err != nil {
		return err
	}
	store, err := openRedis(s.Redis)
	if err != nil {
		return err
	}
	if store != nil {
		defer store.Close() //nolint:errcheck // the process is ending
	}
	front, err := gateway.New(gateway.Options{
		Upstreams: upstreams, Tokens: tokens, OperatorForCatalogue: s.OperatorForCatalogue,
		Redis: store, Instance: s.Instance, CacheBytes: s.CacheBytes, Limits: s.Limits, Resilience: s.Resilience,
		Registry: registry, Log: log,
	})
	if err != nil {
		return err
	}
	defer front.Close()

	gate := &lifecycle.Gate{}
	app := web.New(web.Options{
		Service: name, Version: s.Version, Instance: s.Instance, Log: log, Registry: registry,
		Ready: gate.Ready, Health: health(front, store), Circuits: front.Circuits, Deadline: requestDeadline,
		Door: true, ServedBy: s.Instance[:min(servedBy, len(s.Instance))], Express: front.Express,
	})
	front.Register(app)
	openapi.Routes(app)
	return lifecycle.Serve(ctx, lifecycle.Options{
		App: app, Addr: s.ListenAddr, Log: log, Gate: gate, Parts: front.Parts(),
		DrainDelay: s.DrainDelay, ShutdownTimeout: s.ShutdownTimeout,
	})
}

// openRedis returns nil where no members are configured: the shop serves
// without Redis.
func openRedis(c redis.Config) (*redis.Client, error) {
	if c.MembersFile == "" {
		return nil, nil
	}
	return redis.Open(c)
}

func health(front *gateway.Gateway, store *redis.Client) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		found := front.Health(ctx)
		if store != nil {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			found["redis"] = store.Ping(ctx)
		}
		return found
	}
}
