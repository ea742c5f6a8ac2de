package pg

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"bookstore/services/platform/fault"
)

// trackSQL declares warehouse_track and what it uses, before migrations that
// call it.
//
//go:embed track.sql
var trackSQL string

// migrateTimeout bounds all of a database's migrations: one may build an index
// of a large table.
const migrateTimeout = 30 * time.Minute

// Migrate brings the database of conn up to the newest of the migrations and
// returns how many it applied. An advisory lock serializes several
// callers. migrations holds NNNNN_name.sql files at its root; they only go up.
func Migrate(ctx context.Context, conn *pgx.ConnConfig, migrations fs.FS) (applied int, err error) {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	db := stdlib.OpenDB(*conn)
	defer db.Close() //nolint:errcheck // the migrations are committed or not by then
	// The lock is tried for once a second, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	if err := track(ctx, conn); err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(results), nil
}

func track(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // its transaction has ended
	// One transaction under a lock: two callers cannot replace a function at the same time.
	_, err = conn.Exec(ctx, "begin; select pg_advisory_xact_lock(hashtext('warehouse_track')); set local client_min_messages = warning; "+
		trackSQL+"; commit", pgx.QueryExecModeSimpleProtocol)
	return err
}

// SchemaReady is nil once the newest of the migrations is applied. A database
// that is ahead of this binary is ready too: migrations only add.
func SchemaReady(ctx context.Context, pool *pgxpool.Pool, migrations fs.FS) error {
	want, err := newest(migrations)
	if err != nil {
		return err
	}
	var have int64
	err = pool.QueryRow(ctx, "select coalesce(max(version_id), 0) from goose_db_version where is_applied").Scan(&have)
	switch {
	case Code(err) == "42P01": // no such table: nothing has been applied
		have = 0
	case err != nil:
		return Fault("read the schema's version", err)
	}
	if have < want {
		return fault.Newf(fault.Unavailable, "the schema is at version %d, wanted %d", have, want)
	}
	return nil
}

// Startup returns once the schema is there and half of the pool's connections are
// made. A connection takes many times as long as a statement, and they are made one
// after the other, while a new instance gets its full share of the calls at once.
func Startup(ctx context.Context, pool *pgxpool.Pool, migrations fs.FS) error {
	if err := SchemaReady(ctx, pool, migrations); err != nil {
		return err
	}
	for range pool.Config().MaxConns / 2 {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return Fault("connect", err)
		}
		defer conn.Release() // at the end, so that they are different ones
	}
	return nil
}

func newest(migrations fs.FS) (int64, error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	var highest int64
	for _, file := range files {
		version, err := goose.NumericComponent(path.Base(file))
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", file, err)
		}
		highest = max(highest, version)
	}
	return highest, nil
}
