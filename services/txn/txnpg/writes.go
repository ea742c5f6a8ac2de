package txnpg

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/batch"
	"bookstore/services/platform/pg"
)

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
