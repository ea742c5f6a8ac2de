package txnpg

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/batch"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/twophase"
)

// cutPoll is the pause between two tries of a decision that a cut holds back.
const cutPoll = 5 * time.Millisecond

// Decide implements twophase.Store. The first statement is the decision;
// the second is needed only where the first changed nothing.
func (s *Store) Decide(ctx context.Context, gid, owner string, d twophase.Decision) (twophase.State, bool, error) {
	changed, err := s.compareAndSet(ctx, gid, d)
	if err != nil {
		return "", false, pg.Fault("decide attempt", err)
	}
	if changed {
		return d.State, d.Outcome != nil, nil
	}
	var (
		state twophase.State
		bound bool
	)
	err = s.pool.QueryRow(ctx, standingSQL, gid, owner).Scan(&state, &bound)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	return state, bound, pg.Fault("read the decision that stands", err)
}

func (s *Store) compareAndSet(ctx context.Context, gid string, d twophase.Decision) (changed bool, err error) {
	var (
		status *int
		body   []byte
	)
	if d.Outcome != nil {
		status, body = &d.Outcome.Status, d.Outcome.Body
	}
	if d.State == twophase.Committing {
		return s.commit(ctx, gid, status, body)
	}
	var n int64
	err = s.decisions.write(ctx, gid, func(b *pgx.Batch) {
		b.Queue(abortSQL, gid, status, body, d.Unsent).Exec(func(tag pgconn.CommandTag) error {
			n = tag.RowsAffected()
			return nil
		})
	})
	if err != nil {
		return false, err
	}
	return n == 1, nil
}

// commit decides to commit as soon as no cut holds decisions back; a hold lasts half
// a second at most.
func (s *Store) commit(ctx context.Context, gid string, status *int, body []byte) (bool, error) {
	again := time.NewTicker(cutPoll)
	defer again.Stop()
	for {
		var held, changed bool
		err := s.decisions.write(ctx, gid, func(b *pgx.Batch) {
			b.Queue(commitSQL, gid, status, body).QueryRow(func(row pgx.Row) error { return row.Scan(&held, &changed) })
		})
		if err != nil {
			return false, err
		}
		if !held {
			return changed, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-again.C:
		}
	}
}

// Presume implements twophase.Store.
func (s *Store) Presume(ctx context.Context, gid, branch, owner string) (twophase.Standing, error) {
	var standing twophase.Standing
	err := s.pool.QueryRow(ctx, presumeSQL, gid, branch, owner).
		Scan(&standing.State, &standing.Commits, &standing.Branches, &standing.Deadline)
	standing.Deadline = standing.Deadline.UTC()
	return standing, pg.Fault("presume about attempt", err)
}

// writes batches statements about attempts: concurrent ones are one transaction, and
// share a round trip and a flush to disk.
type writes struct {
	group *batch.Group[line, struct{}]
}

// line is one caller's statement.
type line struct {
	gid string
	add func(*pgx.Batch) // queues the statement, with what reads its answer
}

// newWrites bounds a transaction by timeout: then its connection is closed on this
// side, which cancels nothing in PostgreSQL. Each transaction begins with first,
// unless that is empty.
func newWrites(pool *pgxpool.Pool, first string, timeout time.Duration) writes {
	send := func(ctx context.Context, lines []line) ([]struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		// In order of gids, so that two transactions do not deadlock.
		inOrder := slices.SortedFunc(slices.Values(lines), func(a, b line) int { return strings.Compare(a.gid, b.gid) })
		batch := &pgx.Batch{}
		if first != "" {
			batch.Queue(first)
		}
		for _, l := range inOrder {
			l.add(batch)
		}
		return make([]struct{}, len(lines)), pool.SendBatch(ctx, batch).Close()
	}
	// The server refuses the whole transaction for one statement: the batch is split
	// until only the statements at fault fail.
	refused := func(err error) bool { return pg.Code(err) != "" }
	return writes{batch.New(send, refused)}
}

// write makes a statement about an attempt. When ctx ends it returns, and the
// statement may still be made: what add captures must not be read then.
func (w writes) write(ctx context.Context, gid string, add func(*pgx.Batch)) error {
	_, err := w.group.Do(ctx, line{gid, add})
	return err
}
