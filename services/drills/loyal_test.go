//go:build drill

package drills

import (
	"context"
	"testing"
	"time"

	"bookstore/services/shoptest/cluster"

	"github.com/jackc/pgx/v5"
)

// loyal are clients who stay with the leader that was: with connections that they made
// before the harm and did not use since.
type loyal struct {
	access       *access
	reads        *pgx.Conn
	writes       *pgx.Conn
	acknowledged int           // rows that a deposed leader acknowledged
	stale        time.Duration // how long after its thaw it answered reads with less than was acknowledged
}

// What a deposed leader is tested for, and for how long it may answer with what is stale.
const (
	loyalTime  = 6 * time.Second
	staleBound = 2 * time.Second
)

func newLoyal(t *testing.T, a *access, leader cluster.Member) *loyal {
	t.Helper()
	l := &loyal{access: a}
	for _, conn := range []**pgx.Conn{&l.reads, &l.writes} {
		c, err := a.to(t.Context(), leader)
		if err != nil {
			t.Fatal(err)
		}
		*conn = c
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.Close(ctx) // it is dead in most drills
		})
	}
	return l
}

// haunt uses the old connections from now on: there is another leader, and the old one was
// just thawed. Both end when the server closes them.
func (l *loyal) haunt(t *testing.T, s *scene) {
	t.Helper()
	thawed := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), loyalTime)
	defer cancel()
	writing := make(chan error, 1)
	go func() {
		_, err := l.writes.Exec(ctx, "insert into acks values (-1, 'loyal')")
		writing <- err
	}()
	for ctx.Err() == nil {
		known := s.load.writers.highest()
		var replica bool
		var newest int64
		if err := l.reads.QueryRow(ctx, "select pg_is_in_recovery(), coalesce(max(id), 0) from acks").Scan(&replica, &newest); err != nil {
			break
		}
		if !replica && newest < known {
			l.stale = time.Since(thawed)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := <-writing; err == nil {
		l.acknowledged++
	}
	t.Logf("the old leader answered stale reads for %.2f s after its thaw and acknowledged %d writes", l.stale.Seconds(), l.acknowledged)
}

// survived counts the rows that a deposed leader wrote and that are there nevertheless.
func (l *loyal) survived(ctx context.Context) (count int, err error) {
	conn, err := l.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select count(*) from acks where source = 'loyal'").Scan(&count)
	return count, err
}
