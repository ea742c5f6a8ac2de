package participant

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

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

// refusal is a fault as a step's marker keeps it: all that a client is told.
type refusal struct {
	Kind    fault.Kind    `json:"kind"`
	Message string        `json:"message"`
	Fields  []fault.Field `json:"fields,omitempty"`
	Details fault.Details `json:"details,omitempty"`
}

// The marker went with the rollback, so another call may have come between. A
// row that is there keeps its state, which is returned either way.
const markRefused = `
insert into step_markers as m (saga, step, state, result)
values ($1, $2, 'refused', $3)
on conflict (saga, step) do update set state = m.state
returning state, result`

// refuse makes f the step's outcome, in a transaction of its own, unless it has
// one by now: then that is the answer.
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

// readRefusal is the way back.
func readRefusal(text []byte) error {
	var r refusal
	if err := json.Unmarshal(text, &r); err != nil {
		return fault.Wrap("read refusal", err)
	}
	return &fault.Error{Kind: r.Kind, Message: r.Message, Fields: r.Fields, Details: r.Details}
}
