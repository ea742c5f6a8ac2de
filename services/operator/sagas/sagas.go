// Package sagas shows an operator the sagas that the coordinator keeps, and has one that is stuck go on.
package sagas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// columns are those of a Saga, in its order.
const columns = "id::text, definition, state, created_at, updated_at, steps"

const listSQL = `
select ` + columns + `
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
	found, err := query(ctx, conn, `select `+columns+` from sagas where starts_with(id::text, $1) limit 2`, strings.ToLower(id))
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

const (
	retryTimeout = 15 * time.Second
	answerLimit  = 1 << 20
)

// Retry has a checkout that is stuck go on, by the shop's own call for it at this URL, and returns the state that it is in then.
func Retry(ctx context.Context, client *http.Client, shop, token string, s Saga) (state string, err error) {
	if s.Definition != "checkout" {
		return "", fmt.Errorf("the shop has a call to retry a checkout, and this is a %s", s.Definition)
	}
	ctx, cancel := context.WithTimeout(ctx, retryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, shop+"/checkouts/"+s.ID+"/retry", http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("retry the checkout %s: %w", s.ID, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return "", fmt.Errorf("retry the checkout %s: %w", s.ID, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("the shop refused: %d %s", answer.StatusCode, strings.TrimSpace(string(text)))
	}
	var now struct {
		State string `json:"state"`
	}
	err = json.Unmarshal(text, &now)
	return now.State, err
}
