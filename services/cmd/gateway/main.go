// Command gateway is the shop's front door: it checks who calls and passes
// the calls of the API on to the services.
package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
	"bookstore/services/gateway/openapi"
	"bookstore/services/platform/config"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/service"
	"bookstore/services/platform/web"
)

func main() { service.Main("gateway", build) }

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

func build(d *service.Deps, s settings) (service.App, error) {
	tokens, err := gateway.NewTokens(s.TokensFile)
	if err != nil {
		return service.App{}, err
	}
	upstreams, err := s.upstreams()
	if err != nil {
		return service.App{}, err
	}
	shared, err := d.Redis(s.Redis)
	if err != nil {
		return service.App{}, err
	}
	front, err := gateway.New(gateway.Options{
		Upstreams: upstreams, Tokens: tokens, OperatorForCatalogue: s.OperatorForCatalogue,
		Redis: shared, Instance: s.Instance, CacheBytes: s.CacheBytes, Limits: s.Limits, Resilience: s.Resilience,
		Registry: d.Registry, Log: d.Log,
	})
	if err != nil {
		return service.App{}, err
	}
	d.OnClose(front.Close)
	d.Part(front.Parts()...)
	d.Checks(front.Health)
	return service.App{
		Web: web.Options{
			Deadline: requestDeadline, Circuits: front.Circuits, Express: front.Express,
			Door: true, ServedBy: s.Instance[:min(servedBy, len(s.Instance))],
		},
		Routes: func(app *fiber.App) {
			front.Register(app)
			openapi.Routes(app)
		},
	}, nil
}
