package participant

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Key names a step: no two of one saga have the same name.
type Key struct {
	Saga string // a UUID in its canonical form
	Step string // [a-z_]{1,64}
}

var (
	sagaPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	stepPattern = regexp.MustCompile(`^[a-z_]{1,64}$`)
)

// Check refuses what cannot be a step.
func (k Key) Check() error {
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

// StepWork makes a step's change in tx and returns its result, which must have a
// JSON form; nil is none. It must not end the transaction, nor begin one inside
// it. A fault that it returns rolls the change back and, if fault.Decides holds for
// it, becomes the step's outcome.
type StepWork func(ctx context.Context, tx pgx.Tx) (result any, err error)

// Reversal undoes a step's change in tx. result is what its StepWork returned, nil
// for none. After an error the step is still done.
type Reversal func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error

// Step is what a service does for sagas under one name, each in a transaction of
// its participant: Do is a StepWork, Undo a Reversal. Without Undo, an undo only
// leaves a tombstone.
type Step[P any] struct {
	Do   func(ctx context.Context, tx pgx.Tx, k Key, payload P) (result any, err error)
	Undo func(ctx context.Context, tx pgx.Tx, k Key, result json.RawMessage) error
}

// StepHandler answers the two calls about a step. Step.Handler makes one. A
// service that has to do something before the transaction opens, such as a call to
// a third party, writes its own, which calls the participant's Do and Undo.
type StepHandler[P any] struct {
	Do   func(ctx context.Context, k Key, payload P) (json.RawMessage, error)
	Undo func(ctx context.Context, k Key) error
}

// Handler does and undoes the step in p's transactions.
func (s Step[P]) Handler(p *Participant) StepHandler[P] {
	return StepHandler[P]{
		Do: func(ctx context.Context, k Key, payload P) (json.RawMessage, error) {
			return p.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) { return s.Do(ctx, tx, k, payload) })
		},
		Undo: func(ctx context.Context, k Key) error {
			if s.Undo == nil {
				return p.Undo(ctx, k, nil)
			}
			return p.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
				return s.Undo(ctx, tx, k, result)
			})
		},
	}
}

// The states of a step's marker row.
const (
	stateDone    = "done"
	stateRefused = "refused"
	stateUndone  = "undone" // also a tombstone: of a step that was never done
)

// The insert waits for the end of another call about the same step. If that takes
// longer than lock_timeout, the answer is fault.Contended. An existing row stays as
// it is.
const markStep = `insert into step_markers (saga, step, state) values ($1, $2, $3) on conflict do nothing`

const keepResult = `update step_markers set result = $3 where saga = $1 and step = $2`

// Do does the work, once: repeated, it returns the first call's result or refusal.
// It returns fault.Aborted if the step has been undone.
func (p *Participant) Do(ctx context.Context, k Key, w StepWork) (json.RawMessage, error) {
	result, err := p.do(ctx, k, w)
	if err == nil {
		err = notify(ctx, p.afterStep, k)
	}
	return result, p.recordStep("do", k, err)
}

// do takes three round trips: the marker, the work, the commit.
func (p *Participant) do(ctx context.Context, k Key, w StepWork) (json.RawMessage, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	c, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	first, err := beginStep(ctx, c, k)
	switch {
	case err != nil:
		return nil, err
	case !first:
		return replay(ctx, c, k)
	}
	if err := markerGone(k, time.Now()); err != nil {
		rollback(ctx, c)
		return nil, err
	}
	result, err := run(ctx, c, w)
	switch {
	case fault.Decides(err):
		rollback(ctx, c)
		return refuse(ctx, c, k, fault.As(err))
	case err != nil:
		rollback(ctx, c)
		return nil, err
	case result == nil:
		return nil, commit(ctx, c, "")
	default:
		return result, commit(ctx, c, keepResult, k.Saga, k.Step, []byte(result))
	}
}

// beginStep opens the transaction and inserts the marker; first is false when
// there is one already.
func beginStep(ctx context.Context, c *pgxpool.Conn, k Key) (first bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(markStep, k.Saga, k.Step, stateDone).Exec(func(tag pgconn.CommandTag) error {
		first = tag.RowsAffected() == 1
		return nil
	})
	if err = send(ctx, c, "mark", batch); err != nil {
		rollback(ctx, c)
	}
	return first, err
}

// run does the work and writes its result as JSON, nil for none.
func run(ctx context.Context, c *pgxpool.Conn, w StepWork) (json.RawMessage, error) {
	value, err := w(ctx, transaction{c.Conn()})
	if err != nil || value == nil {
		return nil, pg.Fault("work", err)
	}
	result, err := json.Marshal(value)
	return result, fault.Wrap("encode result", err)
}

// The lock serializes undos of one step.
const lockStep = `select state, result from step_markers where saga = $1 and step = $2 for no key update`

const markUndone = `update step_markers set state = 'undone', updated_at = now() where saga = $1 and step = $2`

// Undo reverses the step if it has been done, once, and leaves a tombstone, so that
// it cannot be done any more. Repeated, it does nothing and returns nil. A step
// without a Reversal has nothing to undo. It returns fault.Lost if the saga is so old
// that the step's marker may have been deleted.
func (p *Participant) Undo(ctx context.Context, k Key, r Reversal) error {
	err := p.undo(ctx, k, r)
	if err == nil {
		err = notify(ctx, p.afterStep, k)
	}
	return p.recordStep("undo", k, err)
}

func (p *Participant) undo(ctx context.Context, k Key, r Reversal) error {
	if err := k.Check(); err != nil {
		return err
	}
	c, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	found, err := beginUndo(ctx, c, k)
	switch {
	case err != nil:
		return err
	case found.tombstone:
		if err := markerGone(k, time.Now()); err != nil {
			rollback(ctx, c)
			return err
		}
		return commit(ctx, c, "")
	case found.state == stateUndone:
		rollback(ctx, c)
		return pg.AwaitReplication(ctx, c)
	case found.state == stateDone && r != nil:
		if err := r(ctx, transaction{c.Conn()}, found.result); err != nil {
			rollback(ctx, c)
			return pg.Fault("reverse", err)
		}
	}
	return commit(ctx, c, markUndone, k.Saga, k.Step)
}

// stepMarker is what an undo found.
type stepMarker struct {
	tombstone bool // there was no marker: this call inserted a tombstone
	state     string
	result    []byte
}

// beginUndo opens the transaction, inserts a tombstone if there is no marker, and
// locks the marker.
func beginUndo(ctx context.Context, c *pgxpool.Conn, k Key) (found stepMarker, err error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(markStep, k.Saga, k.Step, stateUndone).Exec(func(tag pgconn.CommandTag) error {
		found.tombstone = tag.RowsAffected() == 1
		return nil
	})
	batch.Queue(lockStep, k.Saga, k.Step).QueryRow(func(row pgx.Row) error { return row.Scan(&found.state, &found.result) })
	if err = send(ctx, c, "lock the marker", batch); err != nil {
		rollback(ctx, c)
	}
	return found, err
}

func (p *Participant) recordStep(op string, k Key, err error) error {
	return p.steps.record(p.log, op, k.Step, slog.String("saga", k.Saga), err)
}

func stepResult(err error) string {
	switch {
	case err == nil:
		return resultDone
	case fault.Decides(err):
		return resultRefused
	default:
		return resultUnknown
	}
}

// replay ends the transaction and answers from the marker. It waits for the
// standbys, because the marker may be visible before they have it.
func replay(ctx context.Context, c *pgxpool.Conn, k Key) (json.RawMessage, error) {
	var state string
	var result []byte
	batch := &pgx.Batch{}
	batch.Queue(`select state, result from step_markers where saga = $1 and step = $2`, k.Saga, k.Step).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state, &result) })
	batch.Queue("rollback")
	if err := send(ctx, c, "read the outcome", batch); err != nil {
		rollback(ctx, c)
		return nil, err
	}
	if err := pg.AwaitReplication(ctx, c); err != nil {
		return nil, err
	}
	return outcome(state, result)
}

// outcome is the answer that a marker stands for.
func outcome(state string, result []byte) (json.RawMessage, error) {
	switch state {
	case stateDone:
		return result, nil
	case stateRefused:
		return nil, readRefusal(result)
	default:
		return nil, fault.New(fault.Aborted, "the step has been undone")
	}
}

// refusal is a fault as a step's marker stores it: all that clients are shown.
type refusal struct {
	Kind    fault.Kind    `json:"kind"`
	Message string        `json:"message"`
	Fields  []fault.Field `json:"fields,omitempty"`
	Details fault.Details `json:"details,omitempty"`
}

// The rollback removed the marker, so another call may have made one since. An
// existing row keeps its state. The state that stands is returned.
const markRefused = `
insert into step_markers as m (saga, step, state, result)
values ($1, $2, 'refused', $3)
on conflict (saga, step) do update set state = m.state
returning state, result`

// refuse makes f the step's outcome, in a transaction of its own. If the step has an
// outcome by now, it returns that.
func refuse(ctx context.Context, c *pgxpool.Conn, k Key, f *fault.Error) (json.RawMessage, error) {
	ctx, cancel := detached(ctx)
	defer cancel()
	text, err := json.Marshal(refusal{f.Kind, f.Message, f.Fields, f.Details})
	if err != nil {
		return nil, fault.Wrap("encode refusal", err)
	}
	var state string
	var result []byte
	if err := c.QueryRow(ctx, markRefused, k.Saga, k.Step, text).Scan(&state, &result); err != nil {
		return nil, pg.Fault("store the refusal", err)
	}
	return outcome(state, result)
}

// readRefusal decodes what refuse stored.
func readRefusal(text []byte) error {
	var r refusal
	if err := json.Unmarshal(text, &r); err != nil {
		return fault.Wrap("read refusal", err)
	}
	return &fault.Error{Kind: r.Kind, Message: r.Message, Fields: r.Fields, Details: r.Details}
}
