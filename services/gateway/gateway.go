// Package gateway is the shop's front door: it knows every call of the API,
// who may make it, and which service answers it.
package gateway

import (
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/kit/fault"
	"bookstore/services/kit/web"
)

// Options of a gateway. All but OperatorForCatalogue are required.
type Options struct {
	Upstreams            map[Upstream]*url.URL
	Tokens               *Tokens
	OperatorForCatalogue bool // catalogue writes need an operator's token
	Registry             prometheus.Registerer
	Log                  *slog.Logger
}

// Gateway passes requests on.
type Gateway struct {
	options   Options
	transport *http.Transport
	metrics   metrics
}

// New makes a gateway.
func New(o Options) (*Gateway, error) {
	for _, r := range Routes() {
		if o.Upstreams[r.Upstream] == nil {
			return nil, fault.Newf(fault.Internal, "no address is known for %s", r.Upstream)
		}
	}
	return &Gateway{options: o, transport: transport(), metrics: newMetrics(o.Registry)}, nil
}

// Close closes idle connections to the upstreams.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Register adds every route to app. What is read can also be asked for with
// HEAD, which is answered as GET without the body; a stream has nothing else.
func (g *Gateway) Register(app fiber.Router) {
	for _, r := range Routes() {
		handler := g.handler(r)
		if r.Answer == Events {
			app.Add(r.Method, r.Pattern, web.AcceptEvents, handler)
			continue
		}
		app.Add(r.Method, r.Pattern, web.AcceptJSON, handler)
		if r.Method == http.MethodGet {
			app.Add(http.MethodHead, r.Pattern, web.AcceptJSON, handler)
		}
	}
}

// handler serves one route.
func (g *Gateway) handler(r Route) fiber.Handler {
	base := g.options.Upstreams[r.Upstream]
	return func(c *fiber.Ctx) error {
		if err := refuseEncoded(c); err != nil {
			return err
		}
		caller, err := g.authorise(c, r)
		if err != nil {
			return err
		}
		to, err := target(base, c.Path(), string(c.Context().URI().QueryString()))
		if err != nil {
			return err
		}
		answer, err := g.forward(web.Context(c), r, upstreamRequest{
			method: r.Method, url: to, header: requestHeaders(c, caller), body: c.BodyRaw(),
		})
		if err != nil {
			return err
		}
		return respond(c, answer)
	}
}

// refuseEncoded refuses encoded bodies: a small one may decode to a huge one.
func refuseEncoded(c *fiber.Ctx) error {
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return fault.New(fault.UnsupportedMediaType, "send the body without a content encoding")
	}
	return nil
}
