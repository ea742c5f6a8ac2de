package coherence

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
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

// renewEvery is short enough that a renewal may hang and another still succeed within the lease.
const renewEvery = 300 * time.Millisecond

var errEnded = errors.New("the lease was not renewed in time, or not everything was confirmed")

// session is a span of time in which a gateway holds its lease without a gap. It ends with the first error, because a
// message may have been lost with the answer.
type session struct {
	*Follower

	name    string
	renewed time.Time // before the last renewal was sent
	warned  bool      // about the end of the lease
}

// join starts a session. It empties the near tier after Redis knows the session and before the near tier answers:
// what was filled earlier may miss changes that were announced until then.
func (s *session) join(ctx context.Context) error {
	before := s.name
	s.name = s.instance + "-" + strconv.FormatUint(rand.Uint64(), 36)
	sent := time.Now()
	if _, err := callRegistry(ctx, s.redis.Cluster(), joinScript, s.name, lease.Milliseconds(), before); err != nil {
		return err
	}
	s.flush("joined")
	s.live(sent)
	s.warned = false
	s.log.Info("the near cache answers", "session", s.name)
	return nil
}

// live sets the end of a lease whose renewal was sent at sent.
func (s *session) live(sent time.Time) {
	s.renewed = sent
	s.until.Store(int64(sent.Add(lease - leaseMargin).Sub(s.born)))
}

// round renews the lease when it is due, and applies announcements until the next renewal.
func (s *session) round(ctx context.Context) error {
	if time.Since(s.renewed) >= renewEvery {
		if err := s.renew(ctx); err != nil {
			return err
		}
	}
	messages, err := pop(ctx, s.redis.Cluster(), inboxKey(s.name), renewEvery-time.Since(s.renewed))
	if err != nil {
		return err
	}
	return s.apply(ctx, messages)
}

func (s *session) renew(ctx context.Context) error {
	sent := time.Now()
	reply, err := callRegistry(ctx, s.redis.Cluster(), renewScript, s.name, lease.Milliseconds())
	if err != nil {
		return err
	}
	if renewed, _ := reply.(int64); renewed != 1 {
		return errEnded
	}
	s.live(sent)
	return nil
}

// apply applies announcements to the near tier, then confirms them.
func (s *session) apply(ctx context.Context, messages []string) error {
	if len(messages) == 0 {
		return nil
	}
	confirm := s.redis.Cluster().Pipeline()
	for _, text := range messages {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return err
		}
		if m.Flush {
			s.flush("cleared")
		} else {
			s.near.Raise(m.Floors)
		}
		confirmScript.Eval(ctx, confirm, []string{replyKey(m.Reply)}, s.name, listLife.Milliseconds())
	}
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	_, err := confirm.Exec(ctx)
	return err
}

// lapse ends the session in this process. Redis learns of it from the next join, or by the lease's end.
func (s *session) lapse(ctx context.Context, err error) {
	if s.until.Swap(0) != 0 {
		s.flush("lapsed")
	}
	if err != nil && ctx.Err() == nil && !s.warned {
		s.warned = true
		s.log.Warn("the near cache answers nothing", "session", s.name, "error", err.Error())
	}
}

// leave removes the session from the registry, so that writers do not wait for its lease to end.
func (s *session) leave(ctx context.Context) {
	_, err := callRegistry(ctx, s.redis.Cluster(), leaveScript, s.name)
	if err != nil {
		s.log.Warn("the near cache's lease ends by itself", "error", err.Error())
	}
}
