package limit

import (
	"context"
	"time"
)

const (
	// patience bounds how long a request waits for permits from Redis.
	patience = 20 * time.Millisecond
	// callTimeout bounds a call to Redis. It is longer than patience, since permits that come late are used as well.
	callTimeout = 250 * time.Millisecond
	// retryAfter is the pause after a call to Redis failed.
	retryAfter = 300 * time.Millisecond
	// maxCalls bounds the calls to Redis in flight.
	maxCalls = 32
)

// await waits until the client has permits or is known to have none. The caller holds the shard's lock, which await
// releases while it waits.
func (l *Limiter) await(ctx context.Context, s *shard, c *client) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for c.dry(time.Now()) {
		l.refill(s, c, c.lease+c.waiting)
		if c.refilled == nil {
			return
		}
		if !l.wait(ctx, s, c, late.C) {
			return
		}
	}
}

// wait waits for the refill in flight. It returns false when patience is over or ctx has ended.
func (l *Limiter) wait(ctx context.Context, s *shard, c *client, late <-chan time.Time) bool {
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
	default: // Redis is slow, or this gateway is ending
		l.metrics.busy.Inc()
		c.failed(time.Now())
		return
	}
	c.refilled = make(chan struct{})
	q := leaseRequest{key: c.key, limits: c.limits, wanted: wanted, spent: c.owed}
	c.owed = 0
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
		c.answered(q.wanted, g, time.Now())
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
	case err != nil && l.life.Err() == nil && l.away.CompareAndSwap(false, true):
		l.log.Warn("limits are kept locally: redis does not answer", "error", err.Error())
	case err == nil && l.away.CompareAndSwap(true, false):
		l.log.Info("limits are shared through redis again")
	}
}
