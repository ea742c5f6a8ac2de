package coherence

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/wait"
)

const (
	// leaseMargin is what a lease is shorter here than Redis thinks: clocks
	// there have milliseconds.
	leaseMargin = 10 * time.Millisecond
	// joinAgain is the pause before the next session after one has ended.
	joinAgain = 100 * time.Millisecond
)

// Follower keeps a gateway's near tier true as long as it holds a lease.
type Follower struct {
	redis    *redis.Client
	instance string
	near     Near
	log      *slog.Logger

	born  time.Time
	until atomic.Int64 // the lease's end, in ns since born

	flushes *prometheus.CounterVec
}

// NewFollower makes the follower of a near tier. instance names the gateway in
// Redis. Without a client, nil, it is never live. reg may be nil.
func NewFollower(c *redis.Client, instance string, near Near, log *slog.Logger, reg prometheus.Registerer) *Follower {
	f := &Follower{redis: c, instance: instance, near: near, log: log, born: time.Now()}
	f.flushes = registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_flushes_total", Help: "Times the whole near cache was forgotten, by reason: joined, lapsed, cleared.",
	}, []string{"reason"}))
	registered(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cache_lease_live", Help: "Whether the near cache may answer: 1 while it holds a lease.",
	}, func() float64 {
		if f.Live() {
			return 1
		}
		return 0
	}))
	return f
}

// Live reports whether the near tier may answer a reader who is there by now.
// While it is false nothing is known of what was changed: readers must not be
// given what is kept, nor a fill that began before them. Nil is never live.
func (f *Follower) Live() bool {
	return f != nil && time.Since(f.born) < time.Duration(f.until.Load())
}

// Part follows from its start to its stop.
func (f *Follower) Part() lifecycle.Part { return lifecycle.Throughout("near cache", f.follow) }

// follow runs one session after the other until ctx ends.
func (f *Follower) follow(ctx context.Context) {
	if f.redis == nil {
		return
	}
	s := &session{Follower: f}
	for {
		err := s.join(ctx)
		for err == nil && ctx.Err() == nil {
			err = s.turn(ctx)
		}
		s.lapse(ctx, err)
		if !wait.For(ctx, joinAgain) {
			s.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// flush forgets the near tier.
func (f *Follower) flush(reason string) {
	f.near.Flush()
	f.flushes.WithLabelValues(reason).Inc()
}
