package txnpg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/twophase"
)

// Unfinished implements twophase.Records.
func (s *Store) Unfinished(ctx context.Context) (map[twophase.State]twophase.Backlog, error) {
	rows, err := s.pool.Query(ctx, unfinishedSQL)
	if err != nil {
		return nil, pg.Fault("count unfinished attempts", err)
	}
	counts := map[twophase.State]twophase.Backlog{}
	var (
		state  twophase.State
		count  int
		oldest float64
	)
	_, err = pgx.ForEachRow(rows, []any{&state, &count, &oldest}, func() error {
		counts[state] = twophase.Backlog{Count: count, Oldest: time.Duration(oldest * float64(time.Second))}
		return nil
	})
	return counts, pg.Fault("count unfinished attempts", err)
}

// Transaction implements twophase.Records.
func (s *Store) Transaction(ctx context.Context, gid string) (twophase.Transaction, error) {
	found, err := s.many(ctx, "read attempt", oneSQL, gid)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	if err != nil {
		return twophase.Transaction{}, err
	}
	return found[0], nil
}

// Transactions implements twophase.Records.
func (s *Store) Transactions(ctx context.Context, f twophase.Filter) ([]twophase.Transaction, error) {
	var (
		at  *time.Time
		gid string
	)
	if f.After != nil {
		at, gid = &f.After.CreatedAt, f.After.GID
	}
	return s.many(ctx, "list attempts", listSQL, f.State, at, gid, f.Limit)
}
