// Package outbox has the caches hear of every change of a book.
//
//	change and row ──► commit ──► announcement ──► answer
//	                     │             └──► the row goes, soon after and with others
//	                     └── killed, or not confirmed ──► rounds announce it until it is
//
// Triggers write a row of cache_outbox in the transaction of every change: no
// writer can forget it, and it is there if and only if the change is. Whoever
// answers that a change is made announces it before. That takes no look at the
// rows: what is announced is the version that the book has after the commit.
// Rows tell what nobody has announced, or nobody for certain.
package outbox

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/batch"
)

// Announce makes sure that no cache answers less than these floors. An error
// says that it is not certain yet; by then nobody is to be waited for any more.
type Announce func(ctx context.Context, floors ...coherence.Floor) error

// patience is more than an announcement takes, confirmed or not.
const patience = 2 * time.Second

// Relay announces changes of the books in one database. Several may at once:
// what is announced twice only costs time.
type Relay struct {
	pool     *pgxpool.Pool
	announce Announce
	log      *slog.Logger
	finder   *batch.Group[question, []coherence.Floor]
	failing  bool // the last round did

	mu   sync.Mutex
	told highest // announced for certain: their rows can go
	owed highest // announced, and not for certain

	oldest      prometheus.Gauge
	unconfirmed prometheus.Counter
	relayed     prometheus.Counter
}

// New makes a relay; lifecycle.Every runs its Round. announce is nil where
// there are no caches: rows just go away then. reg may be nil.
func New(pool *pgxpool.Pool, announce Announce, log *slog.Logger, reg prometheus.Registerer) *Relay {
	r := &Relay{
		pool: pool, announce: announce, log: log, told: highest{}, owed: highest{},
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_oldest_seconds",
			Help: "Age of the oldest change that its maker did not announce for certain, 0 without any.",
		}),
		unconfirmed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outbox_unconfirmed_total",
			Help: "Announcements of changes that were not confirmed, and so are made again.",
		}),
		relayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outbox_relayed_total",
			Help: "Books whose changes were announced by a round and not by who made them.",
		}),
	}
	r.finder = batch.New(r.find, func(error) bool { return false })
	if reg != nil {
		reg.MustRegister(r.oldest, r.unconfirmed, r.relayed)
	}
	return r
}

// Tell announces floors. Those that are not confirmed are left to the rounds: a
// change that stands is none the less so.
func (r *Relay) Tell(ctx context.Context, floors ...coherence.Floor) {
	changed := highest{}
	changed.raise(floors...)
	_ = r.try(ctx, changed.list()...)
}

// try announces floors and remembers how that went. It goes on without its
// caller, who may be gone.
func (r *Relay) try(ctx context.Context, floors ...coherence.Floor) error {
	if r.announce == nil || len(floors) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := r.announce(ctx, floors...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.unconfirmed.Inc()
		r.owed.raise(floors...)
		return err
	}
	r.told.raise(floors...)
	return nil
}

// highest are floors by book, each as high as any that it was raised by.
type highest map[int64]coherence.Floor

func (h highest) raise(by ...coherence.Floor) {
	for _, f := range by {
		was := h[f.BookID]
		f.Version, f.StockVersion = max(f.Version, was.Version), max(f.StockVersion, was.StockVersion)
		h[f.BookID] = f
	}
}

func (h highest) list() []coherence.Floor { return slices.Collect(maps.Values(h)) }

// take empties one of the relay's lists.
func (r *Relay) take(list *highest) []coherence.Floor {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := *list
	*list = highest{}
	return taken.list()
}

// keep puts back what was taken from a list.
func (r *Relay) keep(list *highest, floors []coherence.Floor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list.raise(floors...)
}
