package coordinatorpg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/coordinator"
	"bookstore/services/kit/fault"
	"bookstore/services/kit/pg"
)

// Decide implements coordinator.Store. The first statement is the decision;
// the second is needed only where the first changed nothing.
func (s *Store) Decide(ctx context.Context, gid, owner string, d coordinator.Decision) (coordinator.State, bool, error) {
	changed, err := s.compareAndSet(ctx, gid, d)
	if err != nil {
		return "", false, pg.Fault("decide attempt", err)
	}
	if changed {
		return d.State, d.Outcome != nil, nil
	}
	var (
		state coordinator.State
		bound bool
	)
	err = s.pool.QueryRow(ctx, settleSQL, gid, owner).Scan(&state, &bound)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	return state, bound, pg.Fault("settle attempt", err)
}

func (s *Store) compareAndSet(ctx context.Context, gid string, d coordinator.Decision) (bool, error) {
	var (
		status  *int
		body    []byte
		changed bool
	)
	if d.Outcome != nil {
		status, body = &d.Outcome.Status, d.Outcome.Body
	}
	statement, args := commitSQL, []any{gid, status, body}
	if d.State != coordinator.Committing {
		statement, args = abortSQL, append(args, d.Unsent)
	}
	err := s.decisions.write(ctx, gid, func(b *pgx.Batch) {
		b.Queue(statement, args...).Exec(func(tag pgconn.CommandTag) error {
			changed = tag.RowsAffected() == 1
			return nil
		})
	})
	if err != nil {
		return false, err
	}
	return changed, nil
}

// Ask implements coordinator.Store.
func (s *Store) Ask(ctx context.Context, gid, branch, owner string) (coordinator.Standing, error) {
	var standing coordinator.Standing
	err := s.pool.QueryRow(ctx, askSQL, gid, branch, owner).
		Scan(&standing.State, &standing.Commits, &standing.Branches, &standing.Deadline)
	standing.Deadline = standing.Deadline.UTC()
	return standing, pg.Fault("ask about attempt", err)
}
