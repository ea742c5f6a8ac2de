// Package participant makes a PostgreSQL database take part in transactions
// over several databases, in either of two modes, or in both.
//
// A branch is a participant's part of a two-phase commit (gid):
//
//	          prepare              commit
//	(nothing) ───────► prepared ─────────► committed   marker row 'prepared', visible
//	    │                  │
//	    │ abort            │ abort
//	    └───────────────► aborted                      marker row 'aborted': a tombstone
//
// A step is a participant's part of a saga. It is done at once, in a local
// transaction, and may be undone later:
//
//	           do                    undo
//	(nothing) ─────► done ─────────────────────► undone
//	    │ │  do                      undo           ▲
//	    │ └─────► refused ──────────────────────────┤
//	    │                            undo           │ a tombstone
//	    └───────────────────────────────────────────┘
//
// In both modes a marker row is inserted in the transaction of the change
// itself: it becomes visible with the change and is gone after a rollback. So a
// repeated call is answered from the marker. A tombstone refuses a prepare or a do
// that arrives after its abort or its undo.
//
// A branch waits for its coordinator's decision. When none arrives, Recovery queries
// it. Recovery may race with the coordinator's own call: both are idempotent.
//
// Every answer is one of three: done (nil); a refusal (fault.Refused for branches,
// fault.Decides for steps); or unknown, after which the same call has to be
// repeated.
//
// Only the leader takes part: every call begins with a write, or checks that it
// runs on the leader.
package participant

import (
	"context"
	_ "embed" // the migrations
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Participant prepares, commits and aborts branches, and does and undoes steps,
// in one database.
type Participant struct {
	pool        *pgxpool.Pool
	name        string
	log         *slog.Logger
	slots       *pg.Slots // taken by prepares and by steps
	branches    mode
	steps       mode
	afterCommit func(ctx context.Context, gid string) error // nil: none
	afterStep   func(ctx context.Context, k Key) error      // nil: none
}

// Option shapes a participant.
type Option func(*Participant)

// Sharing makes prepares and steps take their connections from slots that other
// users of the same pool use too.
func Sharing(slots *pg.Slots) Option { return func(p *Participant) { p.slots = slots } }

// OnCommit sets a function that is called after a branch is committed and before
// the commit is answered. It is called again for a repeated commit, since the first
// answer may have been lost. Its error does not undo the commit: it makes the answer
// unknown, so that the call is repeated.
func OnCommit(callback func(ctx context.Context, gid string) error) Option {
	return func(p *Participant) { p.afterCommit = callback }
}

// OnStep is OnCommit for a step that is done or undone.
func OnStep(callback func(ctx context.Context, k Key) error) Option {
	return func(p *Participant) { p.afterStep = callback }
}

// New makes the participant of this name over pool, whose database has the
// tables of the modes that are used (BranchSchema, StepSchema). reg may be nil.
func New(pool *pgxpool.Pool, name string, log *slog.Logger, reg *prometheus.Registry, options ...Option) *Participant {
	p := &Participant{
		pool: pool, name: name, log: log,
		// All prepares and steps may wait for rows that prepared branches have locked.
		// The commits that unlock these need connections too: slots leave them some.
		slots: pg.NewSlots(pool),
		branches: mode{noun: "branch", resultOf: branchResult, count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "branch_operations_total",
			Help: "Calls about branches of two-phase commits, by result: done, refused, unknown, lost.",
		}, []string{"branch", "op", "result"})},
		steps: mode{noun: "step", resultOf: stepResult, count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "step_operations_total",
			Help: "Calls about steps of sagas, by result: done, refused, unknown.",
		}, []string{"step", "op", "result"})},
	}
	if reg != nil {
		reg.MustRegister(p.branches.count, p.steps.count)
	}
	for _, set := range options {
		set(p)
	}
	return p
}

// mode is what differs between branches and steps when an answer is counted and
// logged.
type mode struct {
	noun     string
	count    *prometheus.CounterVec
	resultOf func(error) string
}

// The results of calls, as they are counted.
const (
	resultDone    = "done"
	resultRefused = "refused"
	resultUnknown = "unknown"
	resultLost    = "lost"
)

// record counts the answer to op about the branch or step of this name, and logs
// unknown and lost ones. id is the transaction or the saga.
func (m mode) record(log *slog.Logger, op, name string, id slog.Attr, err error) error {
	result := m.resultOf(err)
	attrs := []any{"op", op, id, m.noun, name, "error", err}
	switch result {
	case resultLost:
		log.Error("a "+m.noun+" is lost", attrs...)
	case resultUnknown:
		log.Warn("the outcome of a "+m.noun+" is not known", attrs...)
	}
	m.count.WithLabelValues(name, op, result).Inc()
	return fault.Wrap(op+" "+m.noun+" "+name, err)
}

// notify calls callback about what has been committed, after the connection that
// made the commit is back in the pool.
func notify[K any](ctx context.Context, callback func(context.Context, K) error, about K) error {
	if callback == nil {
		return nil
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := callback(ctx, about); err != nil {
		return unknownOutcome("announce the change", err)
	}
	return nil
}

// unknownOutcome is the fault of a call that may have been carried out.
func unknownOutcome(op string, err error) error {
	return &fault.Error{
		Op: op, Kind: fault.OutcomeUnknown, Err: err,
		Message: "whether it is done is not known; ask again", RetryAfter: time.Second,
	}
}

// The migrations that make the tables of the two modes, for platform/pg.Migrate.
// A service has each as one of its own numbered migrations, and a test that they
// make the same (participanttest.RequireSchema).
var (
	// BranchSchema makes branch_markers.
	//go:embed branch_markers.sql
	BranchSchema string
	// StepSchema makes step_markers.
	//go:embed step_markers.sql
	StepSchema string
)
