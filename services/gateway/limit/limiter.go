// Package limit holds every client to a request rate, over all gateways, and to a number of requests in flight at each.
//
// A client's permits are in a bucket in Redis that fills at its rate. A gateway
// leases a few at a time and fetches the next ones before the last is used, so
// that hardly any request waits for Redis:
//
//	Admit ─► a leased permit? ──────────────► admitted; the next lease is fetched before the last permit is used
//	           │ none
//	           ├─ Redis refused just now ───► refused, without another call until Redis may have permits
//	           ├─ Redis answers ────────────► a new lease
//	           └─ Redis is down, or slow ───► a bucket of this gateway's own, with the whole rate
//
// A client's rate is exact but for leased permits: 50 ms of its rate at each gateway, which are used later, returned after
// a pause, or lost with their gateway. Requests admitted while Redis was slow are charged afterwards; requests admitted
// while it was down are not.
package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
)

const (
	shards = 32 // each with a lock of its own
	// maxPerShard bounds the known clients of a shard: some 300 bytes each.
	maxPerShard = 256
	// evictionSample is how many clients are compared to find one to evict.
	evictionSample = 16
)

// Options of a limiter. All may be left out.
type Options struct {
	Redis    *redis.Client // nil: each gateway limits for itself
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Limiter admits or refuses clients' requests.
type Limiter struct {
	bucket  bucket // nil without Redis
	log     *slog.Logger
	metrics metrics
	shards  [shards]shard
	seed    maphash.Seed  // of this process alone, so that no client can choose names of the same shard
	slots   chan struct{} // holds one for each call to Redis in flight
	down    atomic.Bool   // the last call to Redis failed

	life context.Context
	end  context.CancelFunc
}

// State is a client's rate limit after a decision.
type State struct {
	Limit     int           // requests in a window of the policy
	Remaining int           // of them, now: what this gateway knows, others may be using them too
	Reset     time.Duration // until Remaining is Limit again if nothing comes
	Policy    string        // limit, window and burst, as RateLimit-Policy has them
}

// New makes a limiter.
func New(o Options) *Limiter {
	if o.Redis == nil {
		return newLimiter(nil, o)
	}
	return newLimiter(newRedisBucket(o.Redis), o)
}

func newLimiter(b bucket, o Options) *Limiter {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	l := &Limiter{bucket: b, log: o.Log, seed: maphash.MakeSeed(), slots: make(chan struct{}, maxCalls)}
	l.life, l.end = context.WithCancel(context.Background())
	for i := range l.shards {
		l.shards[i].clients = map[string]*client{}
	}
	l.metrics = newMetrics(o.Registry, l.count)
	return l
}

// Admit admits a request of the client, or refuses it with fault.RateLimited or fault.TooManyInFlight. After a nil error
// Done must be called when the request is answered. name is not kept, so its memory may be reused. Admit returns at
// once, or within 20 ms when it needs permits from Redis.
func (l *Limiter) Admit(ctx context.Context, name string, limits Limits) (State, error) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c := l.find(s, name, limits, now)
	if c.inFlight >= limits.InFlight {
		l.metrics.tooMany.Inc()
		return c.state(now), fault.Newf(fault.TooManyInFlight, "%d requests of yours are being answered: wait for one of them", c.inFlight)
	}
	c.inFlight++
	if c.empty(now) {
		l.awaitPermits(ctx, s, c)
		now = time.Now()
	}
	local := c.local && c.permits == 0
	wait, ok := c.take(now)
	if c.low(now) && l.bucket != nil {
		l.refill(s, c, c.lease)
	}
	switch {
	case !ok:
		c.inFlight--
		l.metrics.limited.Inc()
		return c.refused(now, wait), &fault.Error{
			Kind: fault.RateLimited, RetryAfter: wait, Message: "you are asking faster than your limit allows: see RateLimit-Policy",
		}
	case local:
		l.metrics.local.Inc()
	default:
		l.metrics.admitted.Inc()
	}
	return c.state(now), nil
}

// Done ends an admitted request.
func (l *Limiter) Done(name string) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil && c.inFlight > 0 {
		c.inFlight--
	}
}

// BeginStream counts an admitted request as a stream, or refuses it with fault.TooManyInFlight. After a nil error
// EndStream must be called before Done.
func (l *Limiter) BeginStream(name string) error {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[name]
	if c == nil {
		return nil // its requests have ended
	}
	if most := c.limits.Streams(); c.streams >= most {
		l.metrics.tooMany.Inc()
		return fault.Newf(fault.TooManyInFlight, "you have %d streams open, and may have %d: close one of them", c.streams, most)
	}
	c.streams++
	return nil
}

// EndStream ends a stream.
func (l *Limiter) EndStream(name string) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil && c.streams > 0 {
		c.streams--
	}
}

// shard holds a part of the clients.
type shard struct {
	mu      sync.Mutex
	clients map[string]*client
}

func (l *Limiter) shardOf(name string) *shard {
	return &l.shards[maphash.String(l.seed, name)%shards]
}

// find returns the client, known or new; the caller holds the shard's lock.
func (l *Limiter) find(s *shard, name string, limits Limits, now time.Time) *client {
	c := s.clients[name]
	if c == nil {
		digest := sha256.Sum256([]byte(name))
		c = &client{
			// A hash: Redis gets no addresses and no names.
			key:   "limit:{" + hex.EncodeToString(digest[:16]) + "}",
			level: float64(limits.Burst), at: now, askAt: now,
			local: l.bucket == nil || l.down.Load(),
		}
		if len(s.clients) >= maxPerShard {
			s.evictOne()
		}
		s.clients[strings.Clone(name)] = c
	}
	if c.limits != limits {
		c.setLimits(limits)
	}
	c.used = now
	return c
}

// evictOne evicts, of a sample of clients without a request in flight, the least
// recently used one. With Redis it loses no more than the permits of a lease.
// Connections bound how many clients have requests in flight.
func (s *shard) evictOne() {
	var oldest string
	var used time.Time
	seen := 0
	for name, c := range s.clients { // in random order
		if c.inFlight > 0 {
			continue
		}
		if seen == 0 || c.used.Before(used) {
			oldest, used = name, c.used
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	if seen > 0 {
		delete(s.clients, oldest)
	}
}

// count is the number of known clients.
func (l *Limiter) count() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.clients)
		s.mu.Unlock()
	}
	return n
}

// metrics are looked up once: a decision only increments one of them.
type metrics struct {
	admitted, local, limited, tooMany prometheus.Counter
	granted, short, failed, busy      prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, clients func() int) metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "limit_decisions_total", Help: "Requests admitted or refused by their client's limits.",
	}, []string{"result"})
	leases := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "limit_leases_total", Help: "Requests to Redis for permits, by result.",
	}, []string{"result"})
	known := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "limit_clients", Help: "Clients known to this gateway's rate limiter.",
	}, func() float64 { return float64(clients()) })
	registry.MustRegister(decisions, leases, known)
	return metrics{
		admitted: decisions.WithLabelValues("admitted"), local: decisions.WithLabelValues("admitted_locally"),
		limited: decisions.WithLabelValues("rate_limited"), tooMany: decisions.WithLabelValues("too_many_in_flight"),
		granted: leases.WithLabelValues("granted"), short: leases.WithLabelValues("short"),
		failed: leases.WithLabelValues("failed"), busy: leases.WithLabelValues("busy"),
	}
}

func (m metrics) leased(q leaseRequest, g grant, err error) {
	switch {
	case err != nil:
		m.failed.Inc()
	case g.permits < q.wanted:
		m.short.Inc()
	default:
		m.granted.Inc()
	}
}
