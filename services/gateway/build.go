package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/gateway/limit"
	"bookstore/services/gateway/openapi"
	"bookstore/services/platform/config"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/service"
	"bookstore/services/platform/web"
)

// requestDeadline is above the longest of the routes' own.
const requestDeadline = 12 * time.Second

// servedBy is how many characters of the allocation's id name an instance to clients.
const servedBy = 8

// Settings of the gateway's server. They come from the environment.
type Settings struct {
	config.Service
	Redis                redis.Config
	BooksURL             string `env:"BOOKS_URL,required"`
	OrdersURL            string `env:"ORDERS_URL,required"`
	CoordinatorURL       string `env:"COORDINATOR_URL,required"`
	TokensFile           string `env:"TOKENS_FILE"`
	ConsistencyKeysFile  string `env:"CONSISTENCY_KEYS_FILE"` // empty: tokens are not signed
	OperatorForCatalogue bool   `env:"REQUIRE_OPERATOR_FOR_CATALOGUE" envDefault:"false"`
	CacheBytes           uint64 `env:"NEAR_CACHE_BYTES" envDefault:"33554432"`
	Limits               limit.Limits
	Resilience           Resilience
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	_, err := s.upstreams()
	return errors.Join(s.Service.Validate(), s.Limits.Validate(), s.Resilience.Validate(), err)
}

func (s Settings) upstreams() (map[Upstream]*url.URL, error) {
	var problems []error
	upstreams := map[Upstream]*url.URL{}
	for upstream, text := range map[Upstream]string{
		Books: s.BooksURL, Orders: s.OrdersURL, Coordinator: s.CoordinatorURL,
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

// Build makes the gateway's server, with the API's document and its page beside the routes.
func Build(d *service.Deps, s Settings) (service.App, error) {
	tokens, err := NewTokens(s.TokensFile)
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
	g, err := New(Options{
		Upstreams: upstreams, Tokens: tokens, ConsistencyKeys: s.ConsistencyKeysFile, OperatorForCatalogue: s.OperatorForCatalogue,
		Redis: shared, Instance: s.Instance, CacheBytes: s.CacheBytes, Limits: s.Limits, Resilience: s.Resilience,
		Registry: d.Registry, Log: d.Log,
	})
	if err != nil {
		return service.App{}, err
	}
	d.OnClose(g.Close)
	d.Part(g.Parts()...)
	d.Checks(g.Health)
	return service.App{
		Web: web.Options{
			Deadline: requestDeadline, Circuits: g.Circuits, Express: g.Express,
			Door: true, ServedBy: s.Instance[:min(servedBy, len(s.Instance))],
		},
		Routes: func(app *fiber.App) {
			g.Register(app)
			openapi.Routes(app)
		},
	}, nil
}
