package outbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/step"
)

// question asks which books have been changed, and how they stand now.
type question struct {
	sql  string
	args []any
}

// A branch and a step move stock and nothing else. Each question is asked for
// itself, in a round trip with others: a statement about one gid has a plan
// that PostgreSQL keeps, one about an array of them it plans each time.
const (
	ofBranch = `select s.book_id, 0::bigint, s.version from stock_movements m join stock s on s.book_id = m.book_id where m.gid = $1`
	ofStep   = `select s.book_id, 0::bigint, s.version from stock_movements m join stock s on s.book_id = m.book_id where m.saga = $1 and m.step = $2`
)

// findTimeout is what a look at the database may take before the answer is
// left open, and so is asked for again.
const findTimeout = time.Second

// Committed announces what a branch has changed; it is for branch.OnCommit. Its
// error says that the database did not tell which books that are. A branch
// always moves some: a member that knows of none is not the leader any more.
func (r *Relay) Committed(ctx context.Context, gid string) error {
	changed, err := r.changedBy(ctx, question{ofBranch, []any{gid}})
	if err == nil && changed == 0 && r.announce != nil {
		return fault.New(fault.OutcomeUnknown, "the database does not show yet what has been committed")
	}
	return err
}

// Stepped is Committed for a step that is done or undone (step.OnChange). One
// that was undone before it was done has changed nothing.
func (r *Relay) Stepped(ctx context.Context, k step.Key) error {
	_, err := r.changedBy(ctx, question{ofStep, []any{k.Saga, k.Step}})
	return err
}

func (r *Relay) changedBy(ctx context.Context, q question) (changed int, err error) {
	if r.announce == nil {
		return 0, nil
	}
	floors, err := r.finder.Do(ctx, q)
	if err == nil {
		r.Tell(ctx, floors...)
	}
	return len(floors), err
}

// find answers the questions of all who ask at the same moment.
func (r *Relay) find(ctx context.Context, questions []question) ([][]coherence.Floor, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	batch := &pgx.Batch{}
	found := make([][]coherence.Floor, len(questions))
	for i, q := range questions {
		batch.Queue(q.sql, q.args...).Query(func(rows pgx.Rows) (err error) {
			found[i], err = pgx.CollectRows(rows, floor)
			return err
		})
	}
	return found, pg.Fault("look which books have changed", r.pool.SendBatch(ctx, batch).Close())
}

func floor(row pgx.CollectableRow) (f coherence.Floor, err error) {
	err = row.Scan(&f.BookID, &f.Version, &f.StockVersion)
	return f, err
}
