package coherence

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/batch"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
)

// announceLimit bounds an announcement: what a gateway that says nothing any
// more costs (its lease and the time to find out) and a little.
const announceLimit = 1300 * time.Millisecond

// Announcer tells the caches that books have changed.
type Announcer struct {
	redis  *redis.Client
	shared *Shared
	group  *batch.Group[[]Floor, struct{}]
	log    *slog.Logger

	fuse   fuse // of the registry's shard
	outage outage

	count *prometheus.CounterVec
	took  prometheus.Histogram
}

// NewAnnouncer makes an announcer. Without a client, nil, there is nobody to
// tell. reg may be nil.
func NewAnnouncer(c *redis.Client, log *slog.Logger, reg prometheus.Registerer) *Announcer {
	a := &Announcer{
		redis: c, shared: NewShared(c, reg), log: log,
		count: registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_announcements_total",
			Help: "Announcements by result: confirmed by all gateways, lapsed (one's lease had to end), failed.",
		}, []string{"result"})),
		took: registered(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cache_announce_seconds", Help: "Time from a commit known to its announcement's end.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5},
		})),
	}
	a.group = batch.New(a.announce, func(error) bool { return false })
	return a
}

// Announce says that changes are committed, and returns when no gateway
// answers with less any more: the shared tier has the floors, and each near
// tier has confirmed or may answer nothing. Then whoever made the changes can
// be told. Calls at the same moment share one announcement.
//
// An error leaves it open: the caller answers all the same, and announces
// again until it succeeds. It comes after all that had a near tier when Redis
// was reachable last have lost the right to answer from it.
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

// announce makes one announcement of several. The floors come before the near
// tiers, which fill from the shared one.
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

// finish counts an announcement.
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

// highest is one floor for each book.
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
