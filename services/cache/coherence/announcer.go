package coherence

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/batch"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/wait"
)

// announceLimit bounds an announcement: a little more than a gateway that died costs, which is confirmWithin and its lease.
const announceLimit = 1300 * time.Millisecond

// Announcer announces changes of books to the caches.
type Announcer struct {
	redis  *redis.Client
	shared *Shared
	group  *batch.Group[[]Floor, struct{}]
	log    *slog.Logger

	cutoff cutoff // of the registry's shard
	outage outage

	count *prometheus.CounterVec
	took  prometheus.Histogram
}

// NewAnnouncer makes an announcer. When c is nil there are no caches, and announcements do nothing. reg may be nil.
func NewAnnouncer(c *redis.Client, log *slog.Logger, reg prometheus.Registerer) *Announcer {
	a := &Announcer{
		redis: c, shared: NewShared(c, reg), log: log,
		count: registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_announcements_total",
			Help: "Announcements of changes to the caches, by result: confirmed (by all gateways), lapsed (a gateway did not confirm, and its lease ended), failed.",
		}, []string{"result"})),
		took: registered(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cache_announce_seconds", Help: "Duration of an announcement of changes to the caches.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5},
		})),
	}
	a.group = batch.New(a.announce, func(error) bool { return false })
	return a
}

// Announce announces committed changes. When it returns nil, no gateway answers below the floors any more: the shared
// tier has them, and each near tier has confirmed them or may not answer. The change may then be acknowledged.
// Concurrent calls share one announcement.
//
// An error means that this is not certain. The caller acknowledges the change all the same, and announces it again
// until that succeeds. By the time of the error, the leases of all near tiers have lapsed.
func (a *Announcer) Announce(ctx context.Context, floors ...Floor) error {
	if a.redis == nil || len(floors) == 0 {
		return nil
	}
	_, err := a.group.Do(ctx, floors)
	return fault.Wrap("announce changes", err)
}

// ClearAll empties the shared tier and every near tier.
func (a *Announcer) ClearAll(ctx context.Context) error {
	if a.redis == nil {
		return nil
	}
	if err := a.shared.Clear(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	began := time.Now()
	lapsed, err := a.tell(ctx, message{Flush: true})
	return fault.Wrap("clear the near caches", a.finish(began, lapsed, err))
}

// announce makes one announcement of a batch of calls. It raises the floors in the shared tier first, because the near
// tiers fill from there.
func (a *Announcer) announce(ctx context.Context, calls [][]Floor) ([]struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	began, floors := time.Now(), highest(calls)
	raised := a.shared.Raise(ctx, floors)
	lapsed, told := a.tell(ctx, message{Floors: floors})
	if err := a.finish(began, lapsed, errors.Join(raised, told)); err != nil {
		return nil, err
	}
	return make([]struct{}, len(calls)), nil
}

// finish counts an announcement by its result.
func (a *Announcer) finish(began time.Time, lapsed bool, err error) error {
	a.took.Observe(time.Since(began).Seconds())
	switch {
	case err != nil:
		a.count.WithLabelValues("failed").Inc()
		return away("tell the gateways", err)
	case lapsed:
		a.count.WithLabelValues("lapsed").Inc()
		a.log.Warn("a gateway did not confirm, its lease had to end")
	default:
		a.count.WithLabelValues("confirmed").Inc()
	}
	return nil
}

// highest merges floors: one for each book.
func highest(calls [][]Floor) []Floor {
	place := map[int64]int{}
	var all []Floor
	for _, floors := range calls {
		for _, f := range floors {
			i, there := place[f.BookID]
			if !there {
				place[f.BookID] = len(all)
				all = append(all, f)
				continue
			}
			all[i].Version = max(all[i].Version, f.Version)
			all[i].StockVersion = max(all[i].StockVersion, f.StockVersion)
		}
	}
	return all
}

// retryEvery is the pause between tries while the registry is away.
const retryEvery = 50 * time.Millisecond

// message is an announcement, as sent to the sessions.
type message struct {
	Reply  string  `json:"r"` // names the announcement in confirmations
	Flush  bool    `json:"x,omitempty"`
	Floors []Floor `json:"f,omitempty"`
}

// tell sends a message to every session and waits for all confirmations. It tries again for as long as the lease of a
// session may be live that the registry did not name. lapsed tells that a session did not confirm and its lease ended.
func (a *Announcer) tell(ctx context.Context, m message) (lapsed bool, err error) {
	for {
		err = errors.New("the registry of near tiers is away")
		if a.cutoff.allow() {
			lapsed, err = a.try(ctx, m)
			a.cutoff.done(err)
		}
		if err == nil {
			a.outage.end()
			return lapsed, nil
		}
		if !a.outage.wait(ctx) {
			return false, err
		}
	}
}

// try sends a message once, and waits until each session has confirmed or ended.
func (a *Announcer) try(ctx context.Context, m message) (lapsed bool, err error) {
	m.Reply = strconv.FormatUint(rand.Uint64(), 36)
	text, err := json.Marshal(m)
	if err != nil {
		return false, fault.Wrap("encode an announcement", err)
	}
	w := waiting{announcer: a, reply: replyKey(m.Reply), revokeAt: time.Now().Add(confirmWithin)}
	told, err := a.call(ctx, publishScript, text, lease.Milliseconds(), listLife.Milliseconds())
	if err != nil {
		return false, err
	}
	if err := w.read(told); err != nil {
		return false, err
	}
	err = w.all(ctx)
	return w.lapsed, err
}

// call runs a script on the registry.
func (a *Announcer) call(ctx context.Context, script *goredis.Script, args ...any) (any, error) {
	return callRegistry(ctx, a.redis.Cluster(), script, args...)
}

// outage is the time since the registry failed. All leases lapse within one lease of its start, so later announcements
// of the same outage need not wait again.
type outage struct {
	mu          sync.Mutex
	since, last time.Time
}

// wait pauses after a failure. It reports false, without a pause, once the outage has lasted for a lease.
func (o *outage) wait(ctx context.Context) bool {
	o.mu.Lock()
	now := time.Now()
	// A failure long ago says nothing about the time since: this is a new outage.
	if now.Sub(o.last) > 2*lease {
		o.since = now
	}
	o.last = now
	over := now.Sub(o.since) >= lease
	o.mu.Unlock()
	return !over && wait.For(ctx, retryEvery)
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Time{}
}
