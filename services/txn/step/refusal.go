package step

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// refusal is a fault as a marker keeps it: all that a client is told.
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
