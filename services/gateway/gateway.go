// Package gateway is the shop's API gateway. Its routes table has every call of the API: who may make it, how often, and
// which service answers it.
package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/gateway/limit"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/web"
)

// Options of a gateway. Upstreams, Tokens and Log are required.
type Options struct {
	Upstreams            map[Upstream]*url.URL
	Tokens               *Tokens
	OperatorForCatalogue bool          // catalogue writes need an operator's token
	Redis                *redis.Client // nil: nothing is shared, and books are not near
	Instance             string        // names the gateway in Redis
	CacheBytes           uint64        // of memory for books that are near; 0 means 32 MiB
	ConsistencyKeys      string        // the file of the keys that sign consistency tokens; "": none are signed
	Limits               limit.Limits  // of a client whose token has none; zero: nobody is limited
	Resilience           Resilience
	Registry             prometheus.Registerer
	Log                  *slog.Logger
}

// listsShare is how much of the cache's memory lists get beside the books'.
const listsShare = 8

// Gateway forwards requests to services, and answers from its caches where it may.
type Gateway struct {
	options   Options
	transport *http.Transport
	metrics   metrics
	signer    *signer
	limiter   *limit.Limiter
	admission *admission
	books     *cache.Books
	lists     *cache.Lists
	follower  *coherence.Follower
	announcer *coherence.Announcer
}

// New makes a gateway. Its Parts must run while it serves.
func New(o Options) (*Gateway, error) {
	for _, r := range Routes() {
		if o.Upstreams[r.Upstream] == nil {
			return nil, fault.Newf(fault.Internal, "no address is known for %s", r.Upstream)
		}
	}
	signer, err := newSigner(o.ConsistencyKeys)
	if err != nil {
		return nil, err
	}
	g := &Gateway{options: o, transport: transport(), metrics: newMetrics(o.Resilience, o.Registry, o.Log), signer: signer}
	if o.Limits != (limit.Limits{}) {
		g.limiter = limit.New(limit.Options{Redis: o.Redis, Log: o.Log, Registry: o.Registry})
	}
	g.admission = newAdmission(g.limiter, o.Limits)
	shared := coherence.NewShared(o.Redis, o.Registry)
	g.books = cache.NewBooks(cache.Options{Bytes: o.CacheBytes, Shared: shared, Registry: o.Registry})
	g.lists = cache.NewLists(cache.Options{Bytes: o.CacheBytes / listsShare, Registry: o.Registry})
	g.follower = coherence.NewFollower(o.Redis, o.Instance, g.books, o.Log, o.Registry)
	g.books.Follow(g.follower)
	g.announcer = coherence.NewAnnouncer(o.Redis, o.Log, o.Registry)
	return g, nil
}

// Parts run beside the requests: they renew the cache's lease and the leases of clients' permits.
func (g *Gateway) Parts() []lifecycle.Part {
	parts := []lifecycle.Part{g.follower.Part()}
	if g.limiter != nil {
		parts = append(parts, g.limiter.Part())
	}
	return parts
}

// Close cancels fills in flight and closes idle connections to the upstreams.
func (g *Gateway) Close() {
	g.books.Close()
	g.lists.Close()
	g.transport.CloseIdleConnections()
}

// Register adds every route to app. Every GET is also served as HEAD, except streams.
func (g *Gateway) Register(app fiber.Router) {
	for _, r := range Routes() {
		handler := g.handler(r)
		app.Add(r.Method, r.Pattern, handler)
		if r.Method == http.MethodGet && r.Answer != Events {
			app.Add(http.MethodHead, r.Pattern, handler)
		}
	}
	app.Delete("/cache", g.clearCache)
	app.Use(g.admitOthers)
}

// handler serves one route.
func (g *Gateway) handler(r Route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if g.metrics.backlog.late(&c.Request().Header) {
			c.SetUserContext(asLate(c.UserContext()))
		}
		caller, admitted, err := g.admit(c, r)
		if err != nil {
			return err
		}
		if r.Answer == Events {
			return g.serveStream(c, r, caller, admitted)
		}
		defer admitted.done()
		request, err := g.request(c, r, caller)
		if err != nil {
			return err
		}
		if answered, err := g.serveCached(c, r, request); answered || err != nil {
			return err
		}
		answer, err := g.forward(web.Context(c), r, request)
		if err != nil {
			return err
		}
		g.signer.sign(answer.header)
		return respond(c, answer)
	}
}

// request makes the upstream's request of one that was admitted. The body is
// read only now.
func (g *Gateway) request(c *fiber.Ctx, r Route, caller *Identity) (upstreamRequest, error) {
	to, err := target(g.options.Upstreams[r.Upstream], c.Path(), string(c.Context().URI().QueryString()))
	if err != nil {
		return upstreamRequest{}, err
	}
	body, err := web.Body(c, r.Body)
	if err != nil {
		return upstreamRequest{}, err
	}
	header := requestHeaders(c, caller)
	if r.lists() {
		if err := g.signer.check(header); err != nil {
			return upstreamRequest{}, err
		}
	}
	return upstreamRequest{method: r.Method, url: to, header: header, body: body}, nil
}

// admit admits a request that may use the route, within its client's limits.
// After a nil error the ticket's done must be called. A request that is refused
// counts against the limits too; one whose token is unknown by address, so that
// tokens cannot be guessed.
func (g *Gateway) admit(c *fiber.Ctx, r Route) (*Identity, ticket, error) {
	caller, denied := g.authorise(c, r)
	admitted, err := g.admission.admit(web.Context(c), c.Context(), caller)
	if err != nil {
		return nil, ticket{}, err
	}
	if err := cmp.Or(denied, refuseEncoded(c), refuseForm(c, r)); err != nil {
		admitted.done()
		return nil, ticket{}, err
	}
	return caller, admitted, nil
}

// admitOthers admits, within its client's limits, what is no call of the API: paths that there are not, and the API's
// document. So nobody tries paths without end.
func (g *Gateway) admitOthers(c *fiber.Ctx) error {
	caller, _ := g.authorise(c, Route{Access: Anyone}) // a token that is unknown is nobody's
	admitted, err := g.admission.admit(web.Context(c), c.Context(), caller)
	if err != nil {
		return err
	}
	defer admitted.done()
	return c.Next()
}

// refuseForm refuses requests that want another form of answer than the route has.
func refuseForm(c *fiber.Ctx, r Route) error {
	if r.Answer == Events {
		return web.RequireEvents(c)
	}
	return web.RequireJSON(c)
}

// clearCache empties the caches of all gateways. Later reads are answered by the
// service.
func (g *Gateway) clearCache(c *fiber.Ctx) error {
	_, admitted, err := g.admit(c, Route{Access: Operators})
	if err != nil {
		return err
	}
	defer admitted.done()
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	if err := g.announcer.ClearAll(web.Context(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// refuseEncoded refuses encoded bodies: a small one may decode to a huge one.
func refuseEncoded(c *fiber.Ctx) error {
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return fault.New(fault.UnsupportedMediaType, "send the body without a content encoding")
	}
	return nil
}

// healthTimeout bounds the check of an upstream.
const healthTimeout = 500 * time.Millisecond

// Health checks the readiness of every upstream, concurrently.
func (g *Gateway) Health(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var (
		mu     sync.Mutex
		checks sync.WaitGroup
		found  = make(map[string]error, len(g.options.Upstreams))
	)
	for name := range g.options.Upstreams {
		checks.Go(func() {
			err := g.check(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			found[string(name)] = err
		})
	}
	checks.Wait()
	return found
}

func (g *Gateway) check(ctx context.Context, name Upstream) error {
	answer, err := g.send(ctx, upstreamRequest{
		method: http.MethodGet, url: g.options.Upstreams[name].JoinPath("/ready"), header: http.Header{},
	})
	if err == nil && answer.status != http.StatusOK {
		err = fault.Newf(fault.Unavailable, "%s answers %d", name, answer.status)
	}
	return err
}

// Circuits is the state of every destination's circuit: closed, half_open or
// open.
func (g *Gateway) Circuits() map[string]string {
	states := map[string]string{}
	for name, d := range g.metrics.destinations {
		states[string(name)] = d.breaker.state().String()
	}
	return states
}
