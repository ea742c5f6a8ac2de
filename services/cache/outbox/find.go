package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

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
