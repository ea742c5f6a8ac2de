// Package outbox announces every change of a book to the caches.
//
//	change and row ──► commit ──► announcement ──► answer
//	                     │             └──► the row is deleted soon after, in a batch
//	                     └── killed, or not confirmed ──► rounds announce it until confirmed
//
// A trigger writes a row of cache_outbox in the transaction of every change, so the row exists if and only if the change
// does. Whoever acknowledges a change announces it first. That does not read the rows: it announces the version that the
// book has after the commit. Rows are for changes whose announcement is missing or was not confirmed.
package outbox

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/batch"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// Announce makes sure that no cache answers below these floors (coherence.Announcer). An error means that this is not
// certain; the change may be acknowledged all the same.
type Announce func(ctx context.Context, floors ...coherence.Floor) error

// patience is more than an announcement takes, confirmed or not.
const patience = 2 * time.Second

// Relay announces changes of the books in one database. Several instances may run at once: announcing twice is harmless.
type Relay struct {
	pool     *pgxpool.Pool
	announce Announce
	log      *slog.Logger
	finder   *batch.Group[query, []coherence.Floor]
	failing  bool // the last round failed

	mu        sync.Mutex
	confirmed highest // their rows can be deleted
	pending   highest // announced, but not confirmed

	oldest      prometheus.Gauge
	unconfirmed prometheus.Counter
	relayed     prometheus.Counter
}

// New makes a relay; lifecycle.Every runs its Round. When announce is nil there are no caches, and rounds delete the
// rows. reg may be nil.
func New(pool *pgxpool.Pool, announce Announce, log *slog.Logger, reg prometheus.Registerer) *Relay {
	r := &Relay{
		pool: pool, announce: announce, log: log, confirmed: highest{}, pending: highest{},
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_oldest_seconds",
			Help: "Age of the oldest change whose announcement to the caches is not confirmed; 0 when there is none.",
		}),
		unconfirmed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outbox_unconfirmed_total",
			Help: "Announcements of changes that were not confirmed and are repeated.",
		}),
		relayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outbox_relayed_total",
			Help: "Books whose changes were announced by a background round, because the request that made them did not.",
		}),
	}
	r.finder = batch.New(r.find, func(error) bool { return false })
	if reg != nil {
		reg.MustRegister(r.oldest, r.unconfirmed, r.relayed)
	}
	return r
}

// Tell announces floors. Rounds repeat what is not confirmed, so Tell returns no error: the change is committed in any
// case.
func (r *Relay) Tell(ctx context.Context, floors ...coherence.Floor) {
	changed := highest{}
	changed.raise(floors...)
	_ = r.try(ctx, changed.list()...)
}

// try announces floors and records the outcome. It does not end with its caller's context.
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
		r.pending.raise(floors...)
		return err
	}
	r.confirmed.raise(floors...)
	return nil
}

// highest are floors by book, each the highest that it was raised by.
type highest map[int64]coherence.Floor

func (h highest) raise(by ...coherence.Floor) {
	for _, f := range by {
		was := h[f.BookID]
		f.Version, f.StockVersion = max(f.Version, was.Version), max(f.StockVersion, was.StockVersion)
		h[f.BookID] = f
	}
}

func (h highest) list() []coherence.Floor { return slices.Collect(maps.Values(h)) }

// take empties one of the relay's sets and returns its floors.
func (r *Relay) take(list *highest) []coherence.Floor {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := *list
	*list = highest{}
	return taken.list()
}

// keep puts floors back that were taken.
func (r *Relay) keep(list *highest, floors []coherence.Floor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list.raise(floors...)
}

// query selects the books that were changed, with their current versions.
type query struct {
	sql  string
	args []any
}

// Branches and steps change stock and nothing else. Each gid or step has a statement of its own, in a round trip with
// others: PostgreSQL keeps the plan of such a statement, and would plan one about an array each time.
const (
	ofBranch = `select s.book_id, 0::bigint, s.version from stock_movements m join stock s on s.book_id = m.book_id where m.gid = $1`
	ofStep   = `select s.book_id, 0::bigint, s.version from stock_movements m join stock s on s.book_id = m.book_id where m.saga = $1 and m.step = $2`
)

// findTimeout bounds a batch of queries. After it the outcome is unknown, and the caller repeats its request.
const findTimeout = time.Second

// Committed announces what a branch has changed; it is for participant.OnCommit. An error means that the books are not known.
// A branch always changes some: a database member that has none is not the leader any more.
func (r *Relay) Committed(ctx context.Context, gid string) error {
	changed, err := r.changedBy(ctx, query{ofBranch, []any{gid}})
	if err == nil && changed == 0 && r.announce != nil {
		return fault.New(fault.OutcomeUnknown, "the database does not show yet what has been committed")
	}
	return err
}

// Stepped is Committed for a step that is done or undone (participant.OnStep). A step that was undone before it was done has
// changed nothing.
func (r *Relay) Stepped(ctx context.Context, k participant.Key) error {
	_, err := r.changedBy(ctx, query{ofStep, []any{k.Saga, k.Step}})
	return err
}

func (r *Relay) changedBy(ctx context.Context, q query) (changed int, err error) {
	if r.announce == nil {
		return 0, nil
	}
	floors, err := r.finder.Do(ctx, q)
	if err == nil {
		r.Tell(ctx, floors...)
	}
	return len(floors), err
}

// find runs a batch of queries.
func (r *Relay) find(ctx context.Context, queries []query) ([][]coherence.Floor, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	batch := &pgx.Batch{}
	found := make([][]coherence.Floor, len(queries))
	for i, q := range queries {
		batch.Queue(q.sql, q.args...).Query(func(rows pgx.Rows) (err error) {
			found[i], err = pgx.CollectRows(rows, floor)
			return err
		})
	}
	return found, pg.Fault("find the books that changed", r.pool.SendBatch(ctx, batch).Close())
}

func floor(row pgx.CollectableRow) (f coherence.Floor, err error) {
	err = row.Scan(&f.BookID, &f.Version, &f.StockVersion)
	return f, err
}
