// Package cut opens a snapshot of every database at one instant, at which no
// distributed transaction is half done (services/txn/PROTOCOL.md, "The cut").
//
//	leader    hold ─ none committing ─ position ───────────── release ─ … ─ prove
//	replica                              └► replayed ─ pause ─ snapshots ─ … ─ resume
//
// While decisions to commit are held back, and none that was made is unfinished,
// the log has a place at which all databases agree. A replica is stopped there.
// Decisions go on once the snapshots are open, the replica when they are closed:
// what it would replay meanwhile may remove rows that are still to be read, and
// PostgreSQL ends a reader who is in the way of that for more than
// max_standby_streaming_delay.
package cut

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg"
)

// Snapshot is one database as it is at the cut.
type Snapshot struct {
	Database string
	Conn     *pgx.Conn // in a read-only repeatable-read transaction
	Xmin     uint64    // every transaction below it is in the snapshot, or was aborted
}

// Cut is all databases at one place of the log.
type Cut struct {
	At        time.Time     // when decisions were held back, by the leader's clock
	System    string        // the cluster's system identifier
	Timeline  int           // which grows with every failover
	LSN       string        // the place in the log
	Held      time.Duration // how long decisions were held back
	Snapshots []Snapshot

	source  Source
	replica *replica
}

// Source is where the databases are.
type Source struct {
	Config    pg.Config // a login that may read everything; the DSN's database does not matter
	Databases []string
	// Coordinator is the one of the databases that decisions are made in.
	Coordinator string
}

var (
	// ErrBusy says that at no moment was everything finished that was decided: a
	// participant is away, perhaps. Try later.
	ErrBusy = errors.New("transactions that are decided do not get finished")
	// ErrExpired says that opening the snapshots took longer than decisions may be
	// held back.
	ErrExpired = errors.New("the snapshots were not open in time")
	// ErrLost says that the cluster has another leader since the cut: what the cut
	// shows may not have survived.
	ErrLost = errors.New("the leader has changed since the cut")
)

const (
	// tries and tryEvery bound how long Open goes on after ErrBusy and ErrExpired.
	tries    = 10
	tryEvery = 300 * time.Millisecond
	// tryTime bounds one of them.
	tryTime = 5 * time.Second
)

// Open opens a cut. Close it.
func Open(ctx context.Context, s Source) (*Cut, error) {
	pause := time.NewTicker(tryEvery)
	defer pause.Stop()
	for n := 1; ; n++ {
		c, err := s.try(ctx)
		if err == nil || n == tries || !errors.Is(err, ErrBusy) && !errors.Is(err, ErrExpired) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-pause.C:
		}
	}
}

// Close ends the snapshots and lets the replica go on. Without it, as when the
// process dies, Patroni does, once no connection of this login is left there
// (patroni/image/member.py).
func (c *Cut) Close(ctx context.Context) error {
	for _, s := range c.Snapshots {
		_ = s.Conn.Close(ctx) // which ends the transaction
	}
	r := c.replica
	if r == nil {
		return nil
	}
	c.replica = nil
	defer r.close(ctx)
	return r.resume(ctx)
}

// Prove returns nil when everything in the cut has survived, so that nothing
// that is published from it can turn out never to have been. ErrLost else.
//
// A row is committed with the standbys, behind everything that the cut shows,
// by a leader of the cut's own timeline. So the standbys that a next leader is
// chosen from have it all.
func (c *Cut) Prove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	leader, err := c.source.leader(ctx)
	if err != nil {
		return err
	}
	defer leader.Close(ctx) //nolint:errcheck // nothing is open in it
	if _, err := leader.Exec(ctx, "select cut_prove()"); err != nil {
		return wrap("prove the cut", err)
	}
	p, err := position(ctx, leader)
	if err != nil {
		return err
	}
	if p.system != c.System || p.timeline != c.Timeline {
		return ErrLost
	}
	return nil
}

// Published leaves word on the leader of what a version of this cut lacks: tables, and equations that could not be checked.
// The coordinators tell Prometheus.
func (c *Cut) Published(ctx context.Context, missing, unchecked int) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	leader, err := c.source.leader(ctx)
	if err != nil {
		return err
	}
	defer leader.Close(ctx) //nolint:errcheck // nothing is open in it
	_, err = leader.Exec(ctx, "select cut_published($1, $2)", missing, unchecked)
	return wrap("tell what the version lacks", err)
}
