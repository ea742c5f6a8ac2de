// Package sagas shows an operator the sagas that the coordinator keeps.
package sagas

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is where they are kept.
const Database = "coordinatordb"

// Saga is one of them.
type Saga struct {
	ID         string    `json:"saga"`
	Definition string    `json:"definition"`
	State      string    `json:"state"`
	Begun      time.Time `json:"begun"`
	Changed    time.Time `json:"changed"`
	Steps      []Step    `json:"steps"`
}

// Step is one of a saga's.
type Step struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Error    *Cause `json:"error,omitempty"` // of the last call that came to nothing
}

// Cause is why a call came to nothing.
type Cause struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// String is the code and, where there is one, the message.
func (c *Cause) String() string {
	switch {
	case c == nil:
		return ""
	case c.Message == "":
		return c.Code
	}
	return c.Code + ": " + c.Message
}

// At is the step that a saga is at; empty between two.
func (s Saga) At() string {
	for _, step := range s.Steps {
		if step.State == "running" || step.State == "compensating" {
			return step.Name
		}
	}
	return ""
}

// States are those that a saga can be in.
var States = []string{"running", "waiting_approval", "compensating", "stuck", "completed", "cancelled", "failed"}

// most is how many are listed.
const most = 1000

const listSQL = `
select id::text, definition, state, created_at, updated_at, steps
from sagas
where case when $1 = '' then finished_at is null else state = $1 end
order by created_at
limit $2`

// List are the first thousand sagas in a state, or, without a state, of those that are not over; the oldest first.
func List(ctx context.Context, conn *pgx.Conn, state string) ([]Saga, error) {
	return query(ctx, conn, listSQL, state, most)
}

// ErrNone says that there is no such saga.
var ErrNone = errors.New("there is no such saga; one that is over is kept for a while and then removed")

// Find is the saga of that id, or of the only one whose id begins so.
func Find(ctx context.Context, conn *pgx.Conn, id string) (Saga, error) {
	const sql = `select id::text, definition, state, created_at, updated_at, steps from sagas where starts_with(id::text, $1) limit 2`
	found, err := query(ctx, conn, sql, strings.ToLower(id))
	switch {
	case err != nil:
		return Saga{}, err
	case len(found) == 0:
		return Saga{}, fmt.Errorf("%s: %w", id, ErrNone)
	case len(found) > 1:
		return Saga{}, fmt.Errorf("more than one saga begins with %s: give more of its id", id)
	}
	return found[0], nil
}

func query(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]Saga, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read the sagas: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Saga])
	if err != nil {
		return nil, fmt.Errorf("read the sagas: %w", err)
	}
	return all, nil
}
