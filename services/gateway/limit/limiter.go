// Package limit holds every client to a request rate, over all gateways, and to a number of requests in flight at each.
//
// A client's permits are in a bucket in Redis that fills at its rate. A gateway
// leases a few at a time and fetches the next ones before the last is used, so
// that hardly any request waits for Redis:
//
//	Admit ─► a leased permit? ──────────────► let in, the next lease is fetched in good time
//	           │ none
//	           ├─ Redis refused just now ───► refused until its time is over, without another call
//	           ├─ Redis answers ────────────► a new lease
//	           └─ Redis is away, or slow ───► a bucket of this gateway's own, with the whole rate
//
// A client's rate is exact but for leased permits: 50 ms of its rate at each gateway, which are used later, returned after
// a pause, or lost with their gateway. Requests admitted while Redis was slow are charged afterwards; requests admitted
// while it was down are not.
package limit

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
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
	seed    maphash.Seed  // of this process alone: nobody can choose names that meet in one shard
	slots   chan struct{} // holds one for each call to Redis in flight
	away    atomic.Bool   // Redis did not answer when it was last asked

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
// Leave must be called when the request is answered. name is not kept, so its memory may be reused. Admit returns at
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
	if c.dry(now) {
		l.await(ctx, s, c)
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

// Leave ends an admitted request.
func (l *Limiter) Leave(name string) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil && c.inFlight > 0 {
		c.inFlight--
	}
}

// BeginStream counts an admitted request as a stream, or refuses it with fault.TooManyInFlight. After a nil error
// EndStream must be called before Leave.
func (l *Limiter) BeginStream(name string) error {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[name]
	if c == nil {
		return nil // has left
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
