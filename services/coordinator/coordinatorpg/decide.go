package coordinatorpg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

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
		status *int
		body   []byte
	)
	if d.Outcome != nil {
		status, body = &d.Outcome.Status, d.Outcome.Body
	}
	if d.State == coordinator.Committing {
		tag, err := s.pool.Exec(ctx, commitSQL, gid, status, body)
		return tag.RowsAffected() == 1, err
	}
	tag, err := s.pool.Exec(ctx, abortSQL, gid, status, body, d.Unsent)
	return tag.RowsAffected() == 1, err
}

// Ask implements coordinator.Store.
func (s *Store) Ask(ctx context.Context, gid, branch, owner string) (coordinator.Standing, error) {
	var standing coordinator.Standing
	err := s.pool.QueryRow(ctx, askSQL, gid, branch, owner).
		Scan(&standing.State, &standing.Commits, &standing.Branches, &standing.Deadline)
	standing.Deadline = standing.Deadline.UTC()
	return standing, pg.Fault("ask about attempt", err)
}
