package txnpg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg"
	"bookstore/services/txn/twophase"
)

// row reads the columns of a transaction, some of which may be null.
type row struct {
	tx                twophase.Transaction
	decided, finished *time.Time
}

// targets are where the columns go, followed by those of the caller.
func (r *row) targets(more ...any) []any {
	t := &r.tx
	return append([]any{
		&t.GID, &t.Kind, &t.State, &t.Commits, &t.Caller, &t.Key, &t.Attempt, &t.Branches, &t.Payload, &t.Owner,
		&t.Deadline, &t.CreatedAt, &r.decided, &r.finished, &t.Notes,
	}, more...)
}

func (r *row) transaction() twophase.Transaction {
	t := r.tx
	t.Deadline, t.CreatedAt = t.Deadline.UTC(), t.CreatedAt.UTC()
	if r.decided != nil {
		t.DecidedAt = r.decided.UTC()
	}
	if r.finished != nil {
		t.FinishedAt = r.finished.UTC()
	}
	return t
}

func (s *Store) many(ctx context.Context, op, sql string, args ...any) ([]twophase.Transaction, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, pg.Fault(op, err)
	}
	found, err := pgx.CollectRows(rows, func(cr pgx.CollectableRow) (twophase.Transaction, error) {
		var r row
		err := cr.Scan(r.targets()...)
		return r.transaction(), err
	})
	return found, pg.Fault(op, err)
}
