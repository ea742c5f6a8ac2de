package pg_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// What is visible on a leader whose standby is away must not be reported.
func TestAwaitReplicationWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	pool := pgtest.Pool(t, server.DSN(t, fstest.MapFS{"00001_nothing.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}))
	if err := pg.AwaitReplication(ctx, pool); err != nil {
		t.Fatal(err)
	}
	admin := server.Conn(t, "postgres")
	standbys := func(names string) {
		for _, sql := range []string{"set synchronous_commit = local", "alter system set synchronous_standby_names = '" + names + "'"} {
			if _, err := admin.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		server.Reload(t)
	}
	standbys("nobody")
	defer standbys("")
	held := false
	for range 100 { // a reload takes effect a moment after it was asked for
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		err := pg.AwaitReplication(short, pool)
		cancel()
		if held = fault.Unknown(err); held {
			break
		}
	}
	if !held {
		t.Error("answered although no standby has it")
	}
}
