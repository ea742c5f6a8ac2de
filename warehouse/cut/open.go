package cut

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lease is how long decisions are held back at most, and finishing how much of
	// it those that were made have to get finished.
	lease     = 500 * time.Millisecond
	finishing = 200 * time.Millisecond
	// pollEvery is the pause between two polls of what must come true within the lease.
	pollEvery = 2 * time.Millisecond
)

// try makes one attempt.
func (s Source) try(ctx context.Context) (*Cut, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	leader, err := s.leader(ctx)
	if err != nil {
		return nil, err
	}
	defer leader.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is open in it
	at, err := position(ctx, leader)
	if err != nil {
		return nil, err
	}
	r, err := s.replica(ctx, at)
	if err != nil {
		return nil, err
	}
	c := &Cut{System: at.system, Timeline: at.timeline, source: s, replica: r}
	h := &hold{conn: leader, who: fmt.Sprintf("%s %d", at.system, time.Now().UnixNano())}
	if err := s.within(ctx, c, h); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// within holds decisions back for as long as it takes to fill c.
func (s Source) within(ctx context.Context, c *Cut, h *hold) (err error) {
	r := c.replica
	if c.Snapshots, err = s.connect(ctx, r.address); err != nil {
		return err
	}
	if c.At, err = h.begin(ctx); err != nil {
		return err
	}
	defer func() {
		held, failed := h.end(context.WithoutCancel(ctx))
		c.Held = held
		if err == nil {
			err = failed
		}
	}()
	if err := h.finished(ctx); err != nil {
		return err
	}
	at, err := position(ctx, h.conn)
	if err != nil {
		return err
	}
	if err := r.reach(ctx, at); err != nil {
		return err
	}
	if err := r.pause(ctx); err != nil {
		return err
	}
	if err := c.openSnapshots(ctx); err != nil {
		return err
	}
	c.LSN, err = r.place(ctx)
	return err
}

// connect opens a connection to each database, in a transaction that has no
// snapshot yet.
func (s Source) connect(ctx context.Context, address string) ([]Snapshot, error) {
	all := make([]Snapshot, len(s.Databases))
	err := each(len(all), func(i int) (err error) {
		all[i].Database = s.Databases[i]
		all[i].Conn, err = s.dial(ctx, address, s.Databases[i])
		if err == nil {
			_, err = all[i].Conn.Exec(ctx, "begin isolation level repeatable read read only")
		}
		return wrap("connect to "+s.Databases[i], err)
	})
	if err == nil {
		return all, nil
	}
	var opened []Snapshot
	for _, one := range all {
		if one.Conn != nil {
			opened = append(opened, one)
		}
	}
	return opened, err
}

// openSnapshots has each connection take its snapshot.
func (c *Cut) openSnapshots(ctx context.Context) error {
	return each(len(c.Snapshots), func(i int) error {
		s := &c.Snapshots[i]
		err := s.Conn.QueryRow(ctx, "select pg_snapshot_xmin(pg_current_snapshot())::text::numeric").Scan(&s.Xmin)
		return wrap("open a snapshot of "+s.Database, err)
	})
}

// each does something n times at once and returns the first error.
func each(n int, do func(i int) error) (first error) {
	var all sync.WaitGroup
	var once sync.Once
	for i := range n {
		all.Go(func() {
			if err := do(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	all.Wait()
	return first
}

// until polls cond until it returns true or an error. It returns late when that takes longer than within.
func until(ctx context.Context, within time.Duration, late error, cond func() (bool, error)) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done, err := cond(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return late
		case <-tick.C:
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// dial connects to a member, or where address is empty to the one that leads.
func (s Source) dial(ctx context.Context, address, database string) (*pgx.Conn, error) {
	cfg, err := s.Config.ConnConfig()
	if address != "" {
		cfg, err = s.Config.MemberConfig(address)
	}
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	cfg.RuntimeParams["application_name"] = "warehouse"
	cfg.RuntimeParams["timezone"] = "UTC"
	return pgx.ConnectConfig(ctx, cfg)
}

func (s Source) leader(ctx context.Context) (*pgx.Conn, error) {
	conn, err := s.dial(ctx, "", s.Coordinator)
	return conn, wrap("connect to the leader", err)
}

// hold keeps coordinators from deciding to commit.
type hold struct {
	conn *pgx.Conn // to the leader
	who  string

	began time.Time // here
}

// begin returns when nobody decides any more, with that time.
func (h *hold) begin(ctx context.Context) (at time.Time, err error) {
	h.began = time.Now()
	// Whoever is deciding is waited for, and others wait behind: not for long.
	if _, err := h.conn.Exec(ctx, "set lock_timeout = '200ms'"); err != nil {
		return at, wrap("hold decisions back", err)
	}
	var mine bool
	err = h.conn.QueryRow(ctx, "select cut_hold($1, $2), clock_timestamp()", h.who, lease).Scan(&mine, &at)
	if err == nil && !mine {
		err = ErrBusy // another cut is being opened
	}
	return at.UTC(), wrap("hold decisions back", err)
}

// finished waits for the transactions that were decided before.
func (h *hold) finished(ctx context.Context) error {
	return until(ctx, finishing, ErrBusy, func() (none bool, err error) {
		err = h.conn.QueryRow(ctx, "select not exists (select from transactions where state = 'committing')").Scan(&none)
		return none, wrap("poll for unfinished transactions", err)
	})
}

// end lets decisions go on. ErrExpired: they did before.
func (h *hold) end(ctx context.Context) (held time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var mine bool
	err = h.conn.QueryRow(ctx, "select cut_release($1)", h.who).Scan(&mine)
	if err == nil && !mine {
		err = ErrExpired
	}
	return time.Since(h.began), wrap("let decisions go on", err)
}
