package limit

import (
	"context"
	"errors"
	"time"

	"bookstore/services/platform/lifecycle"
)

const (
	sweepEvery = 500 * time.Millisecond
	// idle is the pause after which a client's unused permits are handed back:
	// it may have gone to another gateway.
	idle = 500 * time.Millisecond
	// gone is the pause after which a client with a full bucket is forgotten.
	gone = 10 * time.Second
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
		case c.inFlight > 0 || c.refilled != nil || pause < idle:
		case c.permits > 0 && len(l.slots) < cap(l.slots)/2: // the others are for those who wait
			c.owed -= c.permits
			c.permits = 0
			l.refill(s, c, 0)
		case pause >= gone && c.levelAt(now) >= float64(c.limits.Burst):
			delete(s.clients, name)
		}
	}
}
