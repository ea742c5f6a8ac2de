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
	// leaseMargin shortens a lease here against Redis, whose clock counts whole milliseconds.
	leaseMargin = 10 * time.Millisecond
	// joinAgain is the pause between two sessions.
	joinAgain = 100 * time.Millisecond
)

// Follower holds a gateway's lease and applies announcements to its near tier.
type Follower struct {
	redis    *redis.Client
	instance string
	near     Near
	log      *slog.Logger

	born  time.Time
	until atomic.Int64 // the lease's end, in ns since born

	flushes *prometheus.CounterVec
}

// NewFollower makes the follower of a near tier. instance names the gateway in Redis. When c is nil, it is never live.
// reg may be nil.
func NewFollower(c *redis.Client, instance string, near Near, log *slog.Logger, reg prometheus.Registerer) *Follower {
	f := &Follower{redis: c, instance: instance, near: near, log: log, born: time.Now()}
	f.flushes = registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_flushes_total", Help: "Times that the whole near tier was emptied, by reason: joined (a session began), lapsed (the lease ended), cleared (DELETE /cache).",
	}, []string{"reason"}))
	registered(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cache_lease_live", Help: "1 while the gateway holds a lease and may answer from its near tier, else 0.",
	}, func() float64 {
		if f.Live() {
			return 1
		}
		return 0
	}))
	return f
}

// Live reports whether the near tier may answer a reader who has come by now. While it is false, changes may go
// unannounced: readers must not get a copy, nor the result of a fill that started before they came. A nil Follower is
// never live.
func (f *Follower) Live() bool {
	return f != nil && time.Since(f.born) < time.Duration(f.until.Load())
}

// Part runs the follower.
func (f *Follower) Part() lifecycle.Part { return lifecycle.Throughout("near cache", f.follow) }

// follow runs one session after another until ctx ends.
func (f *Follower) follow(ctx context.Context) {
	if f.redis == nil {
		return
	}
	s := &session{Follower: f}
	for {
		err := s.join(ctx)
		for err == nil && ctx.Err() == nil {
			err = s.round(ctx)
		}
		s.lapse(ctx, err)
		if !wait.For(ctx, joinAgain) {
			s.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// flush empties the near tier.
func (f *Follower) flush(reason string) {
	f.near.Flush()
	f.flushes.WithLabelValues(reason).Inc()
}
