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

// cutPoll is how often a decision that a cut holds back is tried.
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

// commit decides to, as soon as no cut holds decisions back: each does for half
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

// writes are statements about attempts of which those that come together are
// one transaction: alone, each would pay for a round trip and a flush.
type writes struct {
	group *batch.Group[line, struct{}]
}

// line is one caller's statement.
type line struct {
	gid string
	add func(*pgx.Batch) // queues the statement, with what reads its answer
}

// newWrites limits a transaction to timeout: then its connection is given up,
// which cancels nothing in PostgreSQL. Each begins with first, unless that is
// empty.
func newWrites(pool *pgxpool.Pool, first string, timeout time.Duration) writes {
	send := func(ctx context.Context, lines []line) ([]struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		// In this order, two transactions wait for each other's rows in no circle.
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
	// What the server refuses, it refuses as a whole: nobody shall suffer for
	// another's statement.
	refused := func(err error) bool { return pg.Code(err) != "" }
	return writes{batch.New(send, refused)}
}

// write makes a statement about an attempt. When ctx ends it returns, and the
// statement may still be made: what add captures must not be read then.
func (w writes) write(ctx context.Context, gid string, add func(*pgx.Batch)) error {
	_, err := w.group.Do(ctx, line{gid, add})
	return err
}
