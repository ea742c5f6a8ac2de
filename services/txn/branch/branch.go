// Package branch makes a PostgreSQL database take part in two-phase commits.
//
// A branch is one participant's part of a global transaction (gid):
//
//	          prepare              commit
//	(nothing) ───────► prepared ─────────► committed   marker row 'prepared', visible
//	    │                  │
//	    │ abort            │ abort
//	    └───────────────► aborted                      marker row 'aborted': a tombstone
//
// The marker row is inserted in the transaction of the change itself, so it
// becomes visible with the commit and goes with the rollback. After an abort a
// tombstone takes its place, which refuses a prepare that comes late.
//
// Whoever prepared waits to be told. What nobody tells a branch, its
// participant asks for (Recovery), so that no branch holds its locks for longer
// than there is no coordinator to ask. What it is told it does as if told by
// the coordinator itself: both may, at once and again.
//
// Every answer is one of three: nil is done; a fault for which fault.Refused
// holds is a decided "no"; anything else leaves the outcome open, and the same
// call has to be made again.
package branch

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

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

// Participant prepares, commits and aborts branches in one database.
type Participant struct {
	pool      *pgxpool.Pool
	name      string
	log       *slog.Logger
	slots     *pg.Slots // taken by prepares
	count     *prometheus.CounterVec
	committed func(ctx context.Context, gid string) error // nil: nobody is told
}

// Option shapes a participant.
type Option func(*Participant)

// Sharing has prepares take their connections from slots that others, who use
// the same pool, take theirs from.
func Sharing(slots *pg.Slots) Option { return func(p *Participant) { p.slots = slots } }

// OnCommit has tell called once a branch is committed, whoever asked for it,
// before that is answered; also for one that had been committed before, whose
// first answer may have been lost. The branch stays committed whatever tell
// says: its error leaves the answer open, so that the same is asked for again.
func OnCommit(tell func(ctx context.Context, gid string) error) Option {
	return func(p *Participant) { p.committed = tell }
}

// New makes the participant of this name over pool, whose database has the
// table branch_markers. reg may be nil.
func New(pool *pgxpool.Pool, name string, log *slog.Logger, reg *prometheus.Registry, options ...Option) *Participant {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "branch_operations_total",
		Help: "Calls about branches of two-phase commits, by result: done, refused, unknown, lost.",
	}, []string{"branch", "op", "result"})
	if reg != nil {
		reg.MustRegister(count)
	}
	// Prepares may all wait for a row that a prepared branch holds. The commit
	// that frees it needs a connection too: slots leave it some.
	p := &Participant{pool: pool, name: name, log: log, slots: pg.NewSlots(pool), count: count}
	for _, set := range options {
		set(p)
	}
	return p
}

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

// quoted is the branch's name to PostgreSQL as an SQL literal. Database names
// would not do to tell branches apart: gids are unique in the whole cluster.
// Nothing in it needs escaping: the gid has been checked and the name is ours.
func (p *Participant) quoted(m Message) string { return "'" + m.GID + ":" + p.name + "'" }

// record counts an answer and logs those that somebody may have to look at.
func (p *Participant) record(op string, m Message, err error) error {
	result := "done"
	switch {
	case err == nil:
	case fault.KindOf(err) == fault.Lost:
		result = "lost"
		p.log.Error("a branch is lost", "op", op, "gid", m.GID, "branch", p.name, "error", err)
	case fault.Refused(err):
		result = "refused"
	default:
		result = "unknown"
		p.log.Warn("the outcome of a branch is not known", "op", op, "gid", m.GID, "branch", p.name, "error", err)
	}
	p.count.WithLabelValues(p.name, op, result).Inc()
	return fault.Wrap(op+" branch "+p.name, err)
}
