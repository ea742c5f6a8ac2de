// Package txnpg keeps transactions and sagas in PostgreSQL.
package txnpg

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/twophase"
)

// Store is twophase.Store over a database that has Migrations.
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
		// A refusal may have been decided this moment, before the standbys have it. (A
		// commit is replayed once it has ended, which is after its decision is safe.)
		// The wait is on the same connection, so that it is the same leader's.
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

// row scans the columns of a transaction, some of which may be null.
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

//go:embed migrations/*.sql
var files embed.FS

// Migrations are those of the engines' database, numbered and forward-only.
var Migrations = func() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("txnpg: embedded migrations: " + err.Error())
	}
	return sub
}()
