package cut

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// place is where a member is in the log.
type place struct {
	system   string
	timeline int
	lsn      int64
	leads    bool
}

func position(ctx context.Context, conn *pgx.Conn) (p place, err error) {
	err = conn.QueryRow(ctx, "select system::text, coalesce(timeline, 0), coalesce(lsn, 0)::bigint, leads from public.wal_position()").
		Scan(&p.system, &p.timeline, &p.lsn, &p.leads)
	return p, wrap("read the place in the log", err)
}

// replica is the member that is read from.
type replica struct {
	address string
	conn    *pgx.Conn
}

func (r *replica) close(ctx context.Context) { _ = r.conn.Close(ctx) }

// replica connects to the one that is furthest of those that follow the leader.
func (s Source) replica(ctx context.Context, leader place) (*replica, error) {
	addresses, err := s.Config.Members()
	if err != nil {
		return nil, err
	}
	found, failed := make([]*replica, len(addresses)), make([]error, len(addresses))
	places := make([]place, len(addresses))
	_ = each(len(addresses), func(i int) error {
		conn, err := s.dial(ctx, addresses[i], s.Coordinator)
		if err == nil {
			found[i] = &replica{addresses[i], conn}
			places[i], err = position(ctx, conn)
		}
		failed[i] = err
		return nil
	})
	best := -1
	for i, p := range places {
		follows := failed[i] == nil && !p.leads && p.system == leader.system && p.timeline == leader.timeline
		if follows && (best < 0 || p.lsn > places[best].lsn) {
			best = i
		}
	}
	for i, r := range found {
		if r != nil && i != best {
			r.close(ctx)
		}
	}
	if best < 0 {
		return nil, errors.Join(errors.Join(failed...), errors.New("no replica follows the leader"))
	}
	return found[best], nil
}

// reach waits until the replica shows what the leader had at that place.
func (r *replica) reach(ctx context.Context, at place) error {
	return until(ctx, lease, ErrExpired, func() (bool, error) {
		p, err := position(ctx, r.conn)
		return p.lsn >= at.lsn, err
	})
}

// pause stops the replay. It returns when nothing more becomes visible.
func (r *replica) pause(ctx context.Context) error {
	if _, err := r.conn.Exec(ctx, "select pg_wal_replay_pause()"); err != nil {
		return wrap("pause the replay", err)
	}
	return until(ctx, lease, ErrExpired, func() (paused bool, err error) {
		err = r.conn.QueryRow(ctx, "select pg_get_wal_replay_pause_state() = 'paused'").Scan(&paused)
		return paused, wrap("wait for the pause", err)
	})
}

// place says where the replay stands, which must still be paused.
func (r *replica) place(ctx context.Context) (lsn string, err error) {
	var paused bool
	err = r.conn.QueryRow(ctx, "select pg_get_wal_replay_pause_state() = 'paused', pg_last_wal_replay_lsn()::text").Scan(&paused, &lsn)
	if err == nil && !paused {
		err = ErrExpired // somebody else has resumed it
	}
	return lsn, wrap("read where the replay stands", err)
}

// resume does nothing where nothing is paused.
func (r *replica) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := r.conn.Exec(ctx, "select pg_wal_replay_resume() where pg_is_in_recovery() and pg_is_wal_replay_paused()")
	return wrap("resume the replay", err)
}
