package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Settle returns once all that db can see at this moment has reached the
// standbys that commits wait for. What another session committed or prepared
// may be visible before: an answer that tells of it waits here first, or it
// could tell of what a failover takes back. The write stands behind all that is
// visible, and its acknowledgement covers what stands before it.
func Settle(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) error {
	var lsn string
	return Fault("wait for the standbys", db.QueryRow(ctx, "select pg_logical_emit_message(true, 'settle', '')::text").Scan(&lsn))
}
