package participant

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Message travels with every call about a branch.
type Message struct {
	GID      string    // the global transaction: [a-z0-9]{1,64}
	Branch   string    // which participant is meant
	Branches []string  // all participants of the transaction
	Deadline time.Time // a prepare that comes later is refused
}

// Work makes a branch's change in tx. It must not end the transaction, nor begin
// one inside it. A fault that it returns refuses the branch. LISTEN, NOTIFY,
// temporary tables, exported snapshots and cursors WITH HOLD would make the
// prepare fail.
type Work func(ctx context.Context, tx pgx.Tx) error

// Change is how a service makes the change that a branch's payload describes.
type Change[P any] struct {
	// Apply makes it, or returns what prevents it: a Work.
	Apply func(ctx context.Context, tx pgx.Tx, gid string, payload P) error
	// Whole queues statements that make the whole change. If something prevents it,
	// one of them must fail: Apply then finds out why. It returns false for a payload
	// that has no such statements; nil is false for all.
	Whole func(b *pgx.Batch, gid string, payload P) bool
}

// Prepare prepares the change of a payload, in one round trip where it can.
func (c Change[P]) Prepare(ctx context.Context, p *Participant, m Message, payload P) error {
	work := func(ctx context.Context, tx pgx.Tx) error { return c.Apply(ctx, tx, m.GID, payload) }
	whole := &pgx.Batch{}
	if c.Whole != nil && c.Whole(whole, m.GID, payload) {
		return p.PrepareWhole(ctx, m, whole, work)
	}
	return p.Prepare(ctx, m, work)
}

// The states of a branch's marker row.
const (
	statePrepared = "prepared" // visible only once the branch is committed
	stateAborted  = "aborted"
)

var gidPattern = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// check refuses what cannot be a branch of this participant.
func (p *Participant) check(m Message) error {
	var fields []fault.Field
	if !gidPattern.MatchString(m.GID) {
		fields = append(fields, fault.Field{Field: "gid", Code: "pattern", Detail: "1 to 64 of a-z and 0-9"})
	}
	if m.Branch != p.name {
		fields = append(fields, fault.Field{Field: "branch", Code: "unknown", Detail: "this is " + p.name})
	}
	switch year := m.Deadline.UTC().Year(); {
	case m.Deadline.IsZero():
		fields = append(fields, fault.Field{Field: "deadline", Code: "required"})
	case year < 1 || year > 9999: // no text of such a time is one to PostgreSQL
		fields = append(fields, fault.Field{Field: "deadline", Code: "out_of_range", Detail: "must be in the years 1 to 9999"})
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// quoted is the branch's gid in PostgreSQL, as an SQL literal. It has the branch's
// name because such gids are unique in the whole cluster, not in a database. Nothing
// in it needs escaping: the gid has been checked and the name is the service's own.
func (p *Participant) quoted(m Message) string { return "'" + m.GID + ":" + p.name + "'" }

func (p *Participant) recordBranch(op string, m Message, err error) error {
	return p.branches.record(p.log, op, p.name, slog.String("gid", m.GID), err)
}

func branchResult(err error) string {
	switch {
	case err == nil:
		return resultDone
	case fault.KindOf(err) == fault.Lost:
		return resultLost
	case fault.Refused(err):
		return resultRefused
	default:
		return resultUnknown
	}
}

const readBranchState = `
select
	exists (select from pg_prepared_xacts
		where gid = $1::text || ':' || $2::text and database = current_database()),
	coalesce((select state from branch_markers where gid = $1 and branch = $2), ''),
	pg_is_in_recovery()`

// branchState is what the database knows about a branch.
type branchState struct {
	prepared bool   // in pg_prepared_xacts
	marker   string // the state of the visible marker row, "" if there is none
	late     bool   // the deadline has passed
	marked   bool   // the marker is this call's own
}

// readState reads a branch's state outside a transaction, on the leader only.
func (p *Participant) readState(ctx context.Context, c *pgxpool.Conn, m Message) (branchState, error) {
	var s branchState
	var standby bool
	err := c.QueryRow(ctx, readBranchState, m.GID, p.name).Scan(&s.prepared, &s.marker, &standby)
	if err != nil {
		return s, pg.Fault("read the branch's state", err)
	}
	if standby {
		closeNow(c)
		return s, fault.New(fault.Unavailable, "the database has no leader here")
	}
	return s, nil
}
