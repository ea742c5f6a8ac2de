package step

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// The states of a marker row.
const (
	stateDone    = "done"
	stateRefused = "refused"
	stateUndone  = "undone" // also a tombstone: of a step that never was
)

// The insert waits for the end of another call about the same step; when that
// takes longer than lock_timeout, the answer is Contended. A row that is there
// stays as it is.
const mark = `insert into step_markers (saga, step, state) values ($1, $2, $3) on conflict do nothing`

const keepResult = `update step_markers set result = $3 where saga = $1 and step = $2`

// Do does the work, once: asked again it returns the result of the first time,
// or the refusal. Aborted when the step has been undone.
func (p *Participant) Do(ctx context.Context, k Key, w Work) (json.RawMessage, error) {
	result, err := p.do(ctx, k, w)
	if err == nil {
		err = p.tell(ctx, k)
	}
	return result, p.record("do", k, err)
}

// do takes three round trips: the marker, the work, the commit.
func (p *Participant) do(ctx context.Context, k Key, w Work) (json.RawMessage, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	c, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	first, err := begin(ctx, c, k)
	switch {
	case err != nil:
		return nil, err
	case !first:
		return replay(ctx, c, k)
	}
	if err := forgotten(k, time.Now()); err != nil {
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

// begin opens the transaction and inserts the marker; first is false when there
// is one already.
func begin(ctx context.Context, c *pgxpool.Conn, k Key) (first bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(mark, k.Saga, k.Step, stateDone).Exec(func(tag pgconn.CommandTag) error {
		first = tag.RowsAffected() == 1
		return nil
	})
	if err = send(ctx, c, "mark", batch); err != nil {
		rollback(ctx, c)
	}
	return first, err
}

// run does the work and writes its result as JSON, nil for none.
func run(ctx context.Context, c *pgxpool.Conn, w Work) (json.RawMessage, error) {
	value, err := w(ctx, transaction{c.Conn()})
	if err != nil || value == nil {
		return nil, pg.Fault("work", err)
	}
	result, err := json.Marshal(value)
	return result, fault.Wrap("encode result", err)
}

// replay ends the transaction and answers from the marker, which may be visible
// before it has reached the standbys.
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
