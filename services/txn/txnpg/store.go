// Package txnpg keeps transactions and sagas in PostgreSQL.
package txnpg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/pg"
	"bookstore/services/txn/twophase"
)

// Store is twophase.Store over coordinatordb.
type Store struct {
	pool      *pgxpool.Pool
	claims    writes
	decisions writes
	lease     time.Duration
	timeout   time.Duration // of an attempt, from claim to decision
}

var _ twophase.Store = (*Store)(nil)

// New makes a store that gives out leases and deadlines as s says.
func New(pool *pgxpool.Pool, s twophase.Settings) *Store {
	return &Store{
		pool: pool, claims: newWrites(pool, "", s.AttemptTimeout), decisions: newWrites(pool, gateSQL, s.StoreTimeout),
		lease: s.Lease, timeout: s.AttemptTimeout,
	}
}

// Claim implements twophase.Store.
func (s *Store) Claim(ctx context.Context, c twophase.Claim, n int, owner string) (twophase.Transaction, bool, error) {
	tx := twophase.Transaction{
		GID: twophase.GID(c.Caller, c.Key, n), Kind: c.Kind, State: twophase.Preparing,
		Caller: c.Caller, Key: c.Key, Attempt: n, Branches: c.Branches, Payload: c.Payload, Owner: owner,
	}
	statement, args := claimSQL, []any{
		tx.GID, tx.Kind, tx.Caller, tx.Key, tx.Attempt, c.RequestHash, tx.Branches, tx.Payload, owner,
		s.lease.Microseconds(), s.timeout.Microseconds(),
	}
	if n > 1 {
		statement, args = claimNextSQL, append(args, twophase.GID(c.Caller, c.Key, n-1))
	}
	mine := false
	err := s.claims.write(ctx, tx.GID, func(b *pgx.Batch) {
		mine = false // the batch may be made again
		b.Queue(statement, args...).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&tx.Deadline, &tx.CreatedAt}, func() error { mine = true; return nil })
			return err
		})
	})
	if err != nil || !mine {
		return twophase.Transaction{}, false, pg.Fault("claim attempt", err)
	}
	tx.Deadline, tx.CreatedAt = tx.Deadline.UTC(), tx.CreatedAt.UTC()
	return tx, true, nil
}

// Latest implements twophase.Store.
func (s *Store) Latest(ctx context.Context, caller, key string) (*twophase.Latest, error) {
	var (
		r      row
		l      twophase.Latest
		status *int
		body   []byte
	)
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, pg.Fault("connect", err)
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, latestSQL, caller, key).
		Scan(r.targets(&l.RequestHash, &status, &body, &l.Lapsed, &l.Expired)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, pg.Fault("read latest attempt", err)
	}
	l.Transaction = r.transaction()
	if status == nil {
		return &l, nil
	}
	l.Outcome = &twophase.Outcome{Status: *status, Body: body}
	if l.State == twophase.Aborted {
		// A refusal may have been decided this moment. (A commit is told of once
		// it has ended, and it ends only after its decision is safe.) The same
		// connection, for it is the same leader's.
		err = pg.AwaitReplication(ctx, conn)
	}
	return &l, err
}

// Finish implements twophase.Store.
func (s *Store) Finish(ctx context.Context, done []twophase.Finished) error {
	gids, states := make([]string, len(done)), make([]string, len(done))
	notes := make([]twophase.Notes, len(done))
	for i, d := range done {
		gids[i], states[i] = d.GID, string(d.State)
		if len(d.Notes) > 0 {
			notes[i] = d.Notes
		}
	}
	_, err := s.pool.Exec(ctx, finishSQL, gids, states, notes)
	return pg.Fault("finish attempts", err)
}

// Annotate implements twophase.Store.
func (s *Store) Annotate(ctx context.Context, gid string, notes twophase.Notes) error {
	_, err := s.pool.Exec(ctx, annotateSQL, gid, notes)
	return pg.Fault("annotate attempt", err)
}

// Renew implements twophase.Store.
func (s *Store) Renew(ctx context.Context, owner string, gids []string) error {
	_, err := s.pool.Exec(ctx, renewSQL, gids, owner, s.lease.Microseconds())
	return pg.Fault("renew leases", err)
}

// Release implements twophase.Store.
func (s *Store) Release(ctx context.Context, owner string, gids []string) error {
	_, err := s.pool.Exec(ctx, releaseSQL, gids, owner)
	return pg.Fault("release leases", err)
}

// TakeOver implements twophase.Store.
func (s *Store) TakeOver(ctx context.Context, owner, gid string, limit int) ([]twophase.Transaction, error) {
	return s.many(ctx, "take attempts over", takeOverSQL, owner, gid, limit, s.lease.Microseconds())
}
