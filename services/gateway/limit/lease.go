package limit

import (
	"context"
	"time"
)

const (
	// patience is how long a request waits for Redis.
	patience = 20 * time.Millisecond
	// askTimeout is how long Redis has to answer what nobody waits for any more.
	askTimeout = 250 * time.Millisecond
	// retryAfter is the pause after Redis did not answer.
	retryAfter = 300 * time.Millisecond
	// questions are under way to Redis at once at most.
	questions = 32
)

// await returns when there is something to take or to be refused for. The
// caller holds the shard's lock, and holds it again afterwards.
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

// wait waits for the answer of Redis to the question under way. It returns
// false when that takes too long, or ctx has ended.
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

// refill asks Redis for permits, and settles what is owed, unless it is being
// asked already. The caller holds the shard's lock.
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
	q := question{key: c.key, limits: c.limits, wanted: wanted, spent: c.owed}
	c.owed = 0
	go l.ask(s, c, q)
}

// ask puts a question and tells the client's requests what came of it.
func (l *Limiter) ask(s *shard, c *client, q question) {
	defer func() { <-l.slots }()
	ctx, cancel := context.WithTimeout(l.life, askTimeout)
	defer cancel()
	g, err := l.bucket.take(ctx, q)
	l.heard(err)
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

// heard logs when Redis goes away and comes back.
func (l *Limiter) heard(err error) {
	switch {
	case err != nil && l.life.Err() == nil && l.away.CompareAndSwap(false, true):
		l.log.Warn("limits are kept locally: redis does not answer", "error", err.Error())
	case err == nil && l.away.CompareAndSwap(true, false):
		l.log.Info("limits are shared through redis again")
	}
}
