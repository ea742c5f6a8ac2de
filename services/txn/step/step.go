// Package step makes a PostgreSQL database take part in sagas.
//
// A step is one participant's part of a saga: it is done at once, in a local
// transaction, and may be undone later.
//
//	           do                    undo
//	(nothing) ─────► done ─────────────────────► undone
//	    │ │  do                      undo           ▲
//	    │ └─────► refused ──────────────────────────┤
//	    │                            undo           │
//	    └───────────────────────────────────────────┘
//
// The marker row of a step stands in the transaction of its change, so that
// both are there or neither is. The first outcome of a do is its outcome for
// good: asked again, it is answered from the marker. An undo reverses what was
// done, once, and whatever it finds it leaves a tombstone, which refuses a do
// that comes late. Markers are kept for 60 days; about a saga that is older, a
// step without a marker is neither done nor undone: fault.Lost (prune.go).
//
// Every answer is one of three: nil is done; a fault for which fault.Decides
// holds is a decided "no"; after anything else the step has no outcome yet, and
// the same call has to be made again.
//
// Only the leader takes part: every call begins with a write.
package step

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Key names a step: no two of one saga have the same name.
type Key struct {
	Saga string // a UUID in its canonical form
	Step string // [a-z_]{1,64}
}

// Work makes a step's change in tx and returns its result, which must have a
// JSON form; nil is none. It must not end the transaction, nor begin one inside
// it. A fault that it returns undoes the change and, if fault.Decides holds for
// it, is the step's outcome.
type Work func(ctx context.Context, tx pgx.Tx) (result any, err error)

// Reversal takes a step's change back in tx. result is what its Work returned,
// nil for none. An error keeps the step as it is: done.
type Reversal func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error

// Participant does and undoes steps in one database.
type Participant struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	slots   *pg.Slots // taken by running steps
	count   *prometheus.CounterVec
	changed func(ctx context.Context, k Key) error // nil: nobody is told
}

// Option shapes a participant.
type Option func(*Participant)

// Sharing has steps take their connections from slots that others, who use the
// same pool, take theirs from.
func Sharing(slots *pg.Slots) Option { return func(p *Participant) { p.slots = slots } }

// OnChange has tell called once a step is done or undone, before that is
// answered; also for one that had been before, whose first answer may have been
// lost. The step stays what it is whatever tell says: its error leaves the
// answer open, so that the same is asked for again.
func OnChange(tell func(ctx context.Context, k Key) error) Option {
	return func(p *Participant) { p.changed = tell }
}

// New makes the participant over pool, whose database has the table
// step_markers. reg may be nil.
func New(pool *pgxpool.Pool, log *slog.Logger, reg *prometheus.Registry, options ...Option) *Participant {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "step_operations_total",
		Help: "Calls about steps of sagas, by result: done, refused, unknown.",
	}, []string{"step", "op", "result"})
	if reg != nil {
		reg.MustRegister(count)
	}
	// Steps may all wait for rows that others hold, prepared branches of two-phase
	// commits among them. Slots leave some of the pool to those who let go of them.
	p := &Participant{pool: pool, log: log, slots: pg.NewSlots(pool), count: count}
	for _, set := range options {
		set(p)
	}
	return p
}

var (
	sagaPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	stepPattern = regexp.MustCompile(`^[a-z_]{1,64}$`)
)

// check refuses what cannot be a step.
func (k Key) check() error {
	var fields []fault.Field
	if !sagaPattern.MatchString(k.Saga) {
		fields = append(fields, fault.Field{Field: "saga", Code: "pattern", Detail: "must be a UUID"})
	}
	if !stepPattern.MatchString(k.Step) {
		fields = append(fields, fault.Field{Field: "step", Code: "pattern", Detail: "1 to 64 of a-z and _"})
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// record counts an answer and logs those that somebody may have to look at.
func (p *Participant) record(op string, k Key, err error) error {
	result := "done"
	switch {
	case err == nil:
	case fault.Decides(err):
		result = "refused"
	default:
		result = "unknown"
		p.log.Warn("the outcome of a step is not known", "op", op, "saga", k.Saga, "step", k.Step, "error", err)
	}
	p.count.WithLabelValues(k.Step, op, result).Inc()
	return fault.Wrap(op+" step "+k.Step, err)
}

// tell has others hear of a step that is done or undone.
func (p *Participant) tell(ctx context.Context, k Key) error {
	if p.changed == nil {
		return nil
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := p.changed(ctx, k); err != nil {
		return notKnown("tell of the step", err)
	}
	return nil
}
