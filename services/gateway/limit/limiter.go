// Package limit holds every client to a rate, which all gateways share, and to
// a number of requests at once.
//
// A client's permits are in a bucket in Redis that fills at its rate. A gateway
// leases a few at a time and fetches the next ones before the last is used, so
// that hardly any request waits for Redis:
//
//	Admit ─► a leased permit? ──────────────► let in, the next lease is fetched in good time
//	           │ none
//	           ├─ Redis has just said when ─► refused until then, without asking again
//	           ├─ Redis answers ────────────► a new lease
//	           └─ Redis is away, or slow ───► a bucket of this gateway's own, with the whole rate
//
// What a client gets is exact but for the leases under way: 50 ms of its rate
// in each gateway, which are used later, handed back after a pause, or lost
// with their gateway. What was admitted while Redis was slow is charged
// afterwards; what was admitted while it was away is not.
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

// Limiter lets clients in, or not.
type Limiter struct {
	bucket  bucket // nil without Redis
	log     *slog.Logger
	metrics metrics
	shards  [shards]shard
	seed    maphash.Seed  // of this process alone: nobody can choose names that meet in one shard
	slots   chan struct{} // holds one for each question to Redis
	away    atomic.Bool   // Redis did not answer when it was last asked

	life context.Context
	end  context.CancelFunc
}

// State is how a client stands after a decision.
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
	l := &Limiter{bucket: b, log: o.Log, seed: maphash.MakeSeed(), slots: make(chan struct{}, questions)}
	l.life, l.end = context.WithCancel(context.Background())
	for i := range l.shards {
		l.shards[i].clients = map[string]*client{}
	}
	l.metrics = newMetrics(o.Registry, l.count)
	return l
}

// Admit lets a request of the client in, or refuses it with fault.RateLimited
// or fault.TooManyInFlight. After a nil error Leave must be called when the
// request is answered. The name is not kept: its text may change afterwards.
// Admit returns at once, but for 20 ms at most where Redis has to be asked.
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

// Leave says that a request that was let in is answered.
func (l *Limiter) Leave(name string) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil && c.inFlight > 0 {
		c.inFlight--
	}
}

// BeginStream counts a request of the client's, which was let in, as a stream
// too, or refuses it with fault.TooManyInFlight. After a nil error EndStream must
// be called, before Leave.
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

// EndStream says that a stream is closed.
func (l *Limiter) EndStream(name string) {
	s := l.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[name]; c != nil && c.streams > 0 {
		c.streams--
	}
}
