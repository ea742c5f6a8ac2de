package txnpg

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg"
	"bookstore/services/txn/saga"
)

// sagaRow reads the columns of a saga.
type sagaRow struct {
	saga     saga.Saga
	finished *time.Time
}

// targets are where the columns go, followed by those of the caller.
func (r *sagaRow) targets(more ...any) []any {
	s := &r.saga
	return append([]any{
		&s.ID, &s.Definition, &s.Caller, &s.Key, &s.State, &s.Steps, &s.Data, &s.Cause, &s.Failures,
		&s.Deadline, &s.Version, &s.CreatedAt, &s.UpdatedAt, &r.finished,
	}, more...)
}

func (r *sagaRow) read() saga.Saga {
	s := r.saga
	s.Deadline, s.CreatedAt, s.UpdatedAt = s.Deadline.UTC(), s.CreatedAt.UTC(), s.UpdatedAt.UTC()
	if r.finished != nil {
		s.FinishedAt = r.finished.UTC()
	}
	return s
}

// sagaChanges are the columns of the changes of many sagas, one array each.
type sagaChanges struct {
	ids, states []string
	versions    []int64
	failures    []int32
	updated     []time.Time
	finished    []*time.Time
	wakes       []*int64
	steps       []stepsJSON
	causes      []*saga.Cause
	news        []saga.News
}

// stepsJSON is one element of a jsonb[]; a slice of slices would be sent as an
// array of two dimensions.
type stepsJSON struct{ steps []saga.Step }

// MarshalJSON implements json.Marshaler.
func (s stepsJSON) MarshalJSON() ([]byte, error) { return json.Marshal(s.steps) }

// Advance implements saga.Store.
func (s Sagas) Advance(ctx context.Context, changes []saga.Change) ([]bool, error) {
	var c sagaChanges
	for _, change := range changes {
		c.ids, c.states = append(c.ids, change.ID), append(c.states, string(change.State))
		c.versions = append(c.versions, change.Version)
		c.failures = append(c.failures, int32(change.Failures)) //nolint:gosec // a small number
		c.updated = append(c.updated, change.UpdatedAt)
		c.finished, c.wakes = append(c.finished, unlessZero(change.FinishedAt)), append(c.wakes, micros(change.Wake))
		c.steps, c.causes = append(c.steps, stepsJSON{change.Steps}), append(c.causes, change.Cause)
		c.news = append(c.news, change.News)
	}
	rows, err := s.pool.Query(ctx, advanceSagasSQL, c.ids, c.versions, c.states, c.steps, c.causes, c.failures,
		c.updated, c.finished, c.wakes, c.news)
	if err != nil {
		return nil, pg.Fault("store changes of sagas", err)
	}
	moved := map[string]bool{}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { moved[id] = true; return nil })
	applied := make([]bool, len(changes))
	for i, id := range c.ids {
		applied[i] = moved[id]
	}
	return applied, pg.Fault("store changes of sagas", err)
}
