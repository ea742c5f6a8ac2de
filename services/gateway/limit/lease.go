package limit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/redis"
)

const (
	// maxWait bounds how long a request waits for permits from Redis.
	maxWait = 20 * time.Millisecond
	// callTimeout bounds a call to Redis. It is longer than maxWait, since permits that come late are used as well.
	callTimeout = 250 * time.Millisecond
	// retryAfter is the pause after a call to Redis failed.
	retryAfter = 300 * time.Millisecond
	// maxCalls bounds the calls to Redis in flight.
	maxCalls = 32
)

// awaitPermits waits until the client has permits or is known to have none. The caller holds the shard's lock, which
// awaitPermits releases while it waits.
func (l *Limiter) awaitPermits(ctx context.Context, s *shard, c *client) {
	late := time.NewTimer(maxWait)
	defer late.Stop()
	for c.empty(time.Now()) {
		l.refill(s, c, c.lease+c.waiting)
		if c.refilled == nil {
			return
		}
		if !l.awaitRefill(ctx, s, c, late.C) {
			return
		}
	}
}

// awaitRefill waits for the refill in flight. It returns false when maxWait is over or ctx has ended.
func (l *Limiter) awaitRefill(ctx context.Context, s *shard, c *client, late <-chan time.Time) bool {
	refilled := c.refilled
	c.waiting++
	s.mu.Unlock()
	inTime, tooLate := false, false
	select {
	case <-refilled:
		inTime = true
	case <-late:
		tooLate = true
	case <-ctx.Done():
	}
	s.mu.Lock()
	c.waiting--
	if tooLate && c.refilled == refilled {
		c.local = true // until the answer comes
	}
	return inTime
}

// refill leases permits from Redis, and charges those that were used without a lease, unless a refill is in flight. The
// caller holds the shard's lock.
func (l *Limiter) refill(s *shard, c *client, wanted int) {
	if c.refilled != nil {
		return
	}
	select {
	case l.slots <- struct{}{}:
	default: // Redis is slow, or this gateway is stopping
		l.metrics.busy.Inc()
		c.failed(time.Now())
		return
	}
	c.refilled = make(chan struct{})
	q := leaseRequest{key: c.key, limits: c.limits, wanted: wanted, spent: c.debt}
	c.debt = 0
	go l.lease(s, c, q)
}

// lease calls Redis and wakes the client's requests that wait.
func (l *Limiter) lease(s *shard, c *client, q leaseRequest) {
	defer func() { <-l.slots }()
	ctx, cancel := context.WithTimeout(l.life, callTimeout)
	defer cancel()
	g, err := l.bucket.take(ctx, q)
	l.logOutage(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		c.granted(q.wanted, g, time.Now())
	} else {
		c.failed(time.Now())
	}
	close(c.refilled)
	c.refilled = nil
	l.metrics.leased(q, g, err)
}

// logOutage logs when Redis stops answering and when it answers again.
func (l *Limiter) logOutage(err error) {
	switch {
	case err != nil && l.life.Err() == nil && l.down.CompareAndSwap(false, true):
		l.log.Warn("limits are kept locally: redis does not answer", "error", err.Error())
	case err == nil && l.down.CompareAndSwap(true, false):
		l.log.Info("limits are shared through redis again")
	}
}

// bucket is a token bucket per client, shared by all gateways.
type bucket interface {
	take(ctx context.Context, q leaseRequest) (grant, error)
}

// leaseRequest asks a bucket for permits.
type leaseRequest struct {
	key    string
	limits Limits
	wanted int
	spent  int // used without a lease; below 0: returned
}

// grant is a bucket's reply: permits, at most as many as wanted, and what the bucket holds afterwards.
type grant struct {
	permits int
	level   float64
}

//go:embed bucket.lua
var bucketScript string

// redisBucket keeps the buckets in Redis, one key each, which expires when the bucket would be full. A failover may lose
// the last changes, which grants a few permits twice.
type redisBucket struct {
	client *redis.Client
	script *goredis.Script
}

func newRedisBucket(client *redis.Client) redisBucket {
	return redisBucket{client: client, script: goredis.NewScript(bucketScript)}
}

func (b redisBucket) take(ctx context.Context, q leaseRequest) (grant, error) {
	reply, err := b.script.Run(ctx, b.client.Cluster(), []string{q.key},
		q.limits.Rate, q.limits.Burst, q.wanted, q.spent).Int64Slice()
	if err != nil {
		return grant{}, fmt.Errorf("lease permits: %w", err)
	}
	if len(reply) != 2 {
		return grant{}, fmt.Errorf("lease permits: redis answered with %d numbers", len(reply))
	}
	return grant{permits: int(reply[0]), level: float64(reply[1]) / 1000}, nil
}

const (
	sweepEvery = 500 * time.Millisecond
	// returnAfter is the pause after which a client's unused permits are returned:
	// it may have moved to another gateway.
	returnAfter = 500 * time.Millisecond
	// forgetAfter is the pause after which a client with a full bucket is forgotten.
	forgetAfter = 10 * time.Second
)

// Part returns unused permits to Redis and forgets idle clients. It stops after the last request.
func (l *Limiter) Part() lifecycle.Part {
	part := lifecycle.Every("limits", sweepEvery, l.log, l.sweep)
	stopSweep := part.Stop
	part.Stop = func(ctx context.Context) error {
		l.end()
		return errors.Join(stopSweep(ctx), l.drain(ctx))
	}
	return part
}

// drain waits until no call to Redis is in flight, and prevents further ones.
func (l *Limiter) drain(ctx context.Context) error {
	for range cap(l.slots) {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *Limiter) sweep(ctx context.Context) error {
	for i := range l.shards {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.sweepShard(&l.shards[i])
	}
	return nil
}

func (l *Limiter) sweepShard(s *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for name, c := range s.clients {
		pause := now.Sub(c.used)
		switch {
		case c.inFlight > 0 || c.refilled != nil || pause < returnAfter:
		case c.permits > 0 && len(l.slots) < cap(l.slots)/2: // the rest is for requests that wait
			c.debt -= c.permits
			c.permits = 0
			l.refill(s, c, 0)
		case pause >= forgetAfter && c.levelAt(now) >= float64(c.limits.Burst):
			delete(s.clients, name)
		}
	}
}
