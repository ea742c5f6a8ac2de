package export_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/warehouse/export"
)

// However an export ends, it ends, says of which table, and leaves no file.
func TestExportThatFailsEnds(t *testing.T) {
	t.Parallel()
	const big = "create table big as select i, repeat('x', 1000) as filler from generate_series(1, 100000) i"
	for name, c := range map[string]struct {
		setup, where string
		path         func(dir string) string
		during       func(ctx context.Context, cancel func(), conn *pgx.Conn, other *pgx.Conn)
		want         string
	}{
		"the caller gives up": {
			setup: big, where: "pg_sleep(0.001) is not null",
			during: func(_ context.Context, cancel func(), _, _ *pgx.Conn) { cancel() }, want: "canceled",
		},
		"PostgreSQL loses the connection": {
			setup: big, where: "pg_sleep(0.001) is not null",
			during: func(ctx context.Context, _ func(), conn, other *pgx.Conn) {
				_, _ = other.Exec(ctx, "select pg_terminate_backend($1)", conn.PgConn().PID())
			}, want: "PostgreSQL: ",
		},
		"a row cannot be computed": {setup: big, where: "1 / (50000 - i) <> 2", want: "division by zero"},
		"no room on the disk, with a slow sender": {
			setup: `create table big as select i, (select string_agg(md5(i || ' ' || j), '') from generate_series(1, 40) j) as filler
				from generate_series(1, 60000) i`, // 75 MB, whatever the compression
			where: "pg_sleep(case when i = 60000 then 3600 else 0 end) is not null",
			path: func(dir string) string {
				full := filepath.Join(dir, "full.parquet")
				if err := os.Symlink("/dev/full", full); err != nil {
					panic(err)
				}
				return full
			}, want: "DuckDB: ",
		},
		"no directory": {setup: big, path: func(dir string) string { return filepath.Join(dir, "none", "x.parquet") }, want: "DuckDB: "},
		"a line that is too long": {
			setup: "create table big as select 1 as i, repeat('x', 40 << 20) as filler", want: "DuckDB: ",
		},
		"a value that has no place": {setup: "create table big as select 'NaN'::numeric(9,2) as i", want: "DuckDB: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, duck := snapshot(t, c.setup), open(t)
			big, dir := table(t, conn, "big"), t.TempDir()
			path := filepath.Join(dir, "big.parquet")
			if c.path != nil {
				path = c.path(dir)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var during sync.WaitGroup
			defer during.Wait()
			if c.during != nil {
				other := pgtest.Server(t).Conn(t, "postgres")
				during.Go(func() { c.during(ctx, cancel, conn, other) })
			}
			_, err := export.Table(ctx, duck, conn, big, c.where, path)
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Error("it did not end by itself")
			}
			if err == nil || !strings.Contains(err.Error(), "export public.big: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Error("a file is left")
			}
		})
	}
}
