package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Coordinator is the database that sagas are in.
const Coordinator = "coordinatordb"

const holdSQL = `
insert into saga_hold default values
on conflict (only_one) do update set before = excluded.before`

// Hold has all sagas of now wait before they make a call outside the shop. Where some wait since an earlier restore,
// those of after it wait as well.
func Hold(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, holdSQL); err != nil {
		return fmt.Errorf("hold the sagas back: %w", err)
	}
	return nil
}

// Saga is one that waits before it makes a call outside the shop.
type Saga struct {
	ID         string    `json:"saga"`
	Definition string    `json:"definition"`
	State      string    `json:"state"`
	Step       string    `json:"step"` // the one that waits; empty between two
	Begun      time.Time `json:"begun"`
}

const heldSQL = `
select id::text, definition, state, coalesce((
	select step->>'name' from jsonb_array_elements(steps) step
	where step->>'state' in ('running', 'compensating') limit 1), ''), created_at
from sagas join saga_hold on created_at < before
where wake_at is not null
order by created_at`

// Held are the sagas that wait since a restore, the oldest first.
func Held(ctx context.Context, conn *pgx.Conn) ([]Saga, error) {
	rows, err := conn.Query(ctx, heldSQL)
	if err != nil {
		return nil, fmt.Errorf("list the sagas that wait: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Saga])
	if err != nil {
		return nil, fmt.Errorf("list the sagas that wait: %w", err)
	}
	return all, nil
}

// Release lets them go on. The payment provider may have done more for them than the databases know: an operator
// compares first.
func Release(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "delete from saga_hold"); err != nil {
		return fmt.Errorf("let the sagas go on: %w", err)
	}
	return nil
}
