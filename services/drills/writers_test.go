//go:build drill

package drills

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/pg"
	"bookstore/services/shoptest"
)

// writers write to the database as the services do: through their pool.
type writers struct {
	access *access
	pool   *pgxpool.Pool
	next   atomic.Int64
	track  shoptest.Track

	mu    sync.Mutex
	acked []int64
}

// A few clients, each of which gives a write up after a second: its outcome is unknown then.
const (
	writerCount   = 4
	writeEvery    = 100 * time.Millisecond
	writePatience = time.Second
)

// newWriters makes the database anew, with its one table.
func newWriters(t *testing.T, a *access) *writers {
	t.Helper()
	remove := "drop database if exists " + database + " with (force)"
	a.exec(t, "postgres", remove, "create database "+database)
	a.exec(t, database, "create table acks (id bigint primary key, source text not null)")
	t.Cleanup(func() { a.exec(t, "postgres", remove) })
	c := a.config
	c.MaxConns = writerCount
	pool, err := pg.Open(t.Context(), c, "drill", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &writers{access: a, pool: pool}
}

// exec runs statements on the leader, which may just be being found.
func (a *access) exec(t *testing.T, name string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		err := shoptest.Poll(context.WithoutCancel(t.Context()), 30*time.Second, func(ctx context.Context) error {
			conn, err := a.leader(ctx, name)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, statement)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func (w *writers) run(ctx context.Context) {
	var all sync.WaitGroup
	for range writerCount {
		all.Go(func() {
			tick := time.NewTicker(writeEvery)
			defer tick.Stop()
			for ctx.Err() == nil {
				w.write(context.WithoutCancel(ctx))
				<-tick.C
			}
		})
	}
	all.Wait()
}

// write adds a row. The pool never cancels a commit: when the patience is over it closes the
// connection, and the row may or may not be there.
func (w *writers) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	id := w.next.Add(1)
	if _, err := w.pool.Exec(ctx, "insert into acks values ($1, 'writer')", id); err != nil {
		return
	}
	w.mu.Lock()
	w.acked = append(w.acked, id)
	w.mu.Unlock()
	w.track.Serve()
}

// highest is the newest row that every read of the leader must show from now on.
func (w *writers) highest() (id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, acked := range w.acked[max(0, len(w.acked)-writerCount):] {
		id = max(id, acked)
	}
	return id
}

// lost counts the acknowledged rows that are not there.
func (w *writers) lost(ctx context.Context) (count int, err error) {
	conn, err := w.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `select count(*) from unnest($1::bigint[]) as acked (id)
		where not exists (select from acks a where a.id = acked.id)`, w.acked).Scan(&count)
	return count, err
}
