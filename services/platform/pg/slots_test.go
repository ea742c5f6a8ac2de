package pg_test

import (
	"context"
	"testing"
	"time"

	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

func TestSlotsKeepAQuarterOfThePool(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, err := pg.Open(ctx, pg.Config{DSN: config.Secret(pgtest.DSN(t, notes)), MaxConns: 4}, "slots", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	slots := pg.NewSlots(pool)
	var releases []func()
	for range 3 {
		_, release, err := slots.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, _, err := slots.Acquire(short); fault.KindOf(err) != fault.DeadlineExceeded {
		t.Errorf("a fourth slot of four connections: %v", err)
	}
	if err := pool.Ping(ctx); err != nil {
		t.Errorf("nothing is left for the others: %v", err)
	}
	for _, release := range releases {
		release()
	}
	pool.Close()
	for range 4 { // a slot without a connection is given back
		if _, _, err := slots.Acquire(ctx); !fault.Unknown(err) {
			t.Errorf("a connection of a closed pool: %v", err)
		}
	}
}
