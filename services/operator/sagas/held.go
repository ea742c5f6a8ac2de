package sagas

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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

// Held are the sagas that wait since a restore, the oldest first.
func Held(ctx context.Context, conn *pgx.Conn) ([]Saga, error) {
	return query(ctx, conn, `select `+columns+` from sagas join saga_hold on created_at < before where wake_at is not null order by created_at`)
}

// Release lets them go on. The payment provider may have done more for them than the databases know: an operator
// compares first.
func Release(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "delete from saga_hold"); err != nil {
		return fmt.Errorf("let the sagas go on: %w", err)
	}
	return nil
}
