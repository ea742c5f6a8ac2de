package pg

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// probeReplicaTimeout is how long a member may take to report its position. One that takes longer, because it is
	// frozen for example, gets no reads until it answers again.
	probeReplicaTimeout = 500 * time.Millisecond
	// catchUp is how long a read waits for a replica to replay its position; it checks every catchUpPause.
	catchUp      = 50 * time.Millisecond
	catchUpPause = 5 * time.Millisecond
)

var (
	errBehind = errors.New("the replica has not replayed the position")
	errBusy   = errors.New("the replica has as many reads as it gets from here")
)

// replica is one member: the last report of its position, and a small pool of connections to it. It may be the leader;
// then nothing is read there.
type replica struct {
	pool    *pgxpool.Pool
	slots   chan struct{} // reads in flight; one connection more is for probes
	probing atomic.Bool
	last    atomic.Pointer[report]
	// timeline is the last one that it reported. It stays what it is while no
	// log reaches it, as when the leader has just died.
	timeline atomic.Uint32
}

// report is a member's own of its position. At that time it had replayed at least that much; for a leader, the position
// covers everything that was acknowledged before that time.
type report struct {
	at       time.Time
	position Position
	leading  bool
}

// openReplica makes the pool of one member.
func openReplica(c Config, m member, name string, b *bounds) (*replica, error) {
	cfg, err := pgxpool.ParseConfig(c.DSN.Reveal())
	if err != nil {
		return nil, c.Validate()
	}
	session(cfg.ConnConfig, name)
	cfg.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.MaxConns = c.ReadConns + 1
	c.MembersFile = "" // it is this member, whatever the list says
	w := &watch{config: c, gate: newConnectGate(), bounds: b, only: &m}
	w.keep(cfg)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	w.reset.Store(new(pool.Reset))
	return &replica{pool: pool, slots: make(chan struct{}, c.ReadConns)}, nil
}

// probe asks the member for its position. A member that does not answer gets no reads.
func (r *replica) probe(ctx context.Context) *report {
	ctx, cancel := context.WithTimeout(ctx, probeReplicaTimeout)
	defer cancel()
	began := time.Now()
	position, leading, err := r.position(ctx, r.pool)
	if err != nil {
		r.last.Store(nil)
		return nil
	}
	s := &report{at: began, position: position, leading: leading}
	r.last.Store(s)
	return s
}

// position asks the member for its position, and whether it leads.
func (r *replica) position(ctx context.Context, db Querier) (p Position, leading bool, err error) {
	p, leading, err = scanPosition(db.QueryRow(ctx, positionQuery))
	switch {
	case err != nil:
		return p, leading, Fault("read a member's position", err)
	case p.Timeline != 0:
		r.timeline.Store(p.Timeline)
	default:
		p.Timeline = r.timeline.Load()
	}
	return p, leading, nil
}

// read runs fn on a connection to the member once it has replayed the position.
func (r *replica) read(ctx context.Context, after Position, fn func(context.Context, Querier) error) error {
	select {
	case r.slots <- struct{}{}:
	default:
		return errBusy
	}
	defer func() { <-r.slots }()
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return Fault("connect to a replica", err)
	}
	defer conn.Release()
	if after != (Position{}) {
		if err := r.reach(ctx, conn, after); err != nil {
			return err
		}
	}
	return fn(ctx, conn)
}

// reach waits until the member has replayed the position, up to catchUp.
func (r *replica) reach(ctx context.Context, db Querier, after Position) error {
	tick := time.NewTicker(catchUpPause)
	defer tick.Stop()
	for began := time.Now(); ; {
		at, _, err := r.position(ctx, db)
		switch {
		case err != nil:
			return err
		case at.covers(after):
			return nil
		case time.Since(began) > catchUp || at.System != after.System || at.Timeline < after.Timeline:
			return errBehind
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Fault("wait for a replica", ctx.Err())
		}
	}
}

// Querier is what a read runs on.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
