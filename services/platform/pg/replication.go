package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// AwaitReplication waits until the synchronous standbys have everything that is visible to db now. PostgreSQL makes a
// commit or a prepared transaction of another session visible before the standbys have acknowledged it, and a failover
// may then take it back. An answer that depends on it must wait here first. The function writes a record behind all
// that is visible and waits for its acknowledgement, which covers everything before it.
func AwaitReplication(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) error {
	var lsn string
	return Fault("wait for the standbys", db.QueryRow(ctx, "select pg_logical_emit_message(true, 'replication wait', '')::text").Scan(&lsn))
}
