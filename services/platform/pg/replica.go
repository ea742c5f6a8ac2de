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
	// lookPatience is how long a member may take to say where it is. A frozen one
	// is given no reads from then on.
	lookPatience = 500 * time.Millisecond
	// catchUp is how long a read waits for a replica to get to its position, and
	// catchUpPause the time between two looks.
	catchUp      = 50 * time.Millisecond
	catchUpPause = 5 * time.Millisecond
)

var (
	errBehind = errors.New("the replica has not got that far")
	errBusy   = errors.New("the replica has all the reads that it gets from here")
)

// replica is one member: where it was when it was last looked at, and a small
// pool of connections to it. It may well be the leader; nothing is read there then.
type replica struct {
	pool    *pgxpool.Pool
	slots   chan struct{} // reads on their way; one connection more is for looking
	looking atomic.Bool
	seen    atomic.Pointer[sighting]
	// timeline is the last one it was seen to follow. It stays what it is while no
	// log reaches it, as when the leader has just died.
	timeline atomic.Uint32
}

// sighting is what a member said. It was at least so far at that time; of a
// leader, what was acknowledged before that time is within the position.
type sighting struct {
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
	w := &watch{config: c, turn: newTurn(), bounds: b, only: &m}
	w.keep(cfg)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	w.reset.Store(new(pool.Reset))
	return &replica{pool: pool, slots: make(chan struct{}, c.ReadConns)}, nil
}

// look asks the member where it is. One that does not say is not read from.
func (r *replica) look(ctx context.Context) *sighting {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	began := time.Now()
	position, leading, err := r.position(ctx, r.pool)
	if err != nil {
		r.seen.Store(nil)
		return nil
	}
	s := &sighting{at: began, position: position, leading: leading}
	r.seen.Store(s)
	return s
}

// position asks where the member is.
func (r *replica) position(ctx context.Context, db Querier) (p Position, leading bool, err error) {
	p, leading, err = scanPosition(db.QueryRow(ctx, positionQuery))
	switch {
	case err != nil:
		return p, leading, Fault("look where a member is", err)
	case p.Timeline != 0:
		r.timeline.Store(p.Timeline)
	default:
		p.Timeline = r.timeline.Load()
	}
	return p, leading, nil
}

// read runs fn on a connection to the member once that has reached the position.
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

// reach returns once the member has replayed the position, or gives up on it.
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
