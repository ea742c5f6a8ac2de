package cut

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

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
		return none, wrap("look for unfinished transactions", err)
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
