package participant_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

func TestAnAbortThatMeetsARunningPrepareWins(t *testing.T) {
	f, ctx, m := patient(t, ""), context.Background(), message()
	working, goOn := make(chan struct{}), make(chan struct{})
	prepared := make(chan error, 1)
	go func() {
		prepared <- f.Prepare(ctx, m, func(ctx context.Context, tx pgx.Tx) error {
			close(working)
			<-goOn
			return take(1, 10)(ctx, tx)
		})
	}()
	<-working
	aborted := make(chan error, 1)
	go func() { aborted <- f.Abort(ctx, m) }()
	f.waitForLocks(1)
	close(goOn)
	f.must("prepare", <-prepared, "")
	f.must("abort", <-aborted, "")
	f.must("commit", f.Commit(ctx, m), fault.Lost)
	if f.amount() != 100 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
}

func TestARepeatThatMeetsARunningPrepareDoesTheWorkOnce(t *testing.T) {
	f, ctx, m := patient(t, "&lock_timeout=3s"), context.Background(), message()
	working, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- f.Prepare(ctx, m, func(ctx context.Context, tx pgx.Tx) error {
			close(working)
			<-goOn
			return take(1, 10)(ctx, tx)
		})
	}()
	<-working
	second := make(chan error, 1)
	never := func(context.Context, pgx.Tx) error { return errors.New("the work ran twice") }
	go func() { second <- f.Prepare(ctx, m, never) }()
	f.waitForLocks(1)
	close(goOn)
	f.must("first", <-first, "")
	f.must("second", <-second, "") // its wait times out, then it looks and finds the first prepared
	f.must("commit", f.Commit(ctx, m), "")
	if f.amount() != 90 {
		t.Errorf("amount %d", f.amount())
	}
}

func TestPreparesThatWaitDoNotStarveTheCommitThatFreesThem(t *testing.T) {
	f, ctx, holder := patient(t, "&lock_timeout=30s"), context.Background(), message()
	f.must("prepare", f.Prepare(ctx, holder, take(1, 10)), "")
	var waiting sync.WaitGroup
	for range 40 { // more than the pool has connections
		waiting.Go(func() {
			m := message()
			err := f.Prepare(ctx, m, take(1, 1))
			if err == nil {
				err = f.Commit(ctx, m)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	f.waitForLocks(12) // all that may
	f.must("commit", f.Commit(ctx, holder), "")
	waiting.Wait()
	if f.amount() != 50 {
		t.Errorf("amount %d", f.amount())
	}
}

func TestManyAtOnceEndCommittedOrAborted(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	var all sync.WaitGroup
	var mu sync.Mutex
	committed := 0
	for i := range 30 {
		all.Go(func() {
			m := message()
			err := f.Prepare(ctx, m, take(1, 1))
			if err == nil && i%3 != 0 {
				if err := f.Commit(ctx, m); err != nil {
					t.Error(err)
				}
				mu.Lock()
				committed++
				mu.Unlock()
				return
			}
			if err := f.Abort(ctx, m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if f.amount() != 100-committed || f.prepared() != 0 {
		t.Errorf("%d committed, amount %d, prepared %d", committed, f.amount(), f.prepared())
	}
}

// The pool keeps prepared statements; a transaction that ends in PREPARE must
// leave its connection as good as new, schema changes included.
func TestTheStatementCacheOutlivesPreparedTransactions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, err := pg.Open(ctx, pg.Config{DSN: config.Secret(pgtest.DSN(t, migrations)), MaxConns: 1}, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := fixtureOver(t, pool)
	for i := range 6 {
		m := message()
		f.must("prepare", f.Prepare(ctx, m, take(1, 1)), "")
		if i == 3 {
			// The cached statement's plan is void now.
			f.must("commit", f.Commit(ctx, m), "")
			if _, err := f.pool.Exec(ctx, "alter table accounts add column note text"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f.must("commit", f.Commit(ctx, m), "")
	}
	if f.amount() != 94 {
		t.Errorf("amount %d", f.amount())
	}
}

// A commit must not return before the standby has it, however long that takes,
// and a client that gives up must not end the wait: the commit would be visible
// and yet lost with the leader.
func TestACommitThatWaitsForTheStandbyIsNeverCutShort(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.DSN(t, migrations)
	f, hasty, m := fixtureOver(t, pgtest.Pool(t, dsn)), fixtureOver(t, pgtest.Pool(t, dsn+"&statement_timeout=1s")), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	server.HoldCommits(t)
	began := time.Now()
	f.must("commit", hasty.Commit(ctx, m), fault.DeadlineExceeded)
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("gave up after %s: the statement_timeout of 1 s must not count", took)
	}
	if f.amount() != 100 {
		t.Error("an unreplicated commit is visible")
	}
	server.ReleaseCommits(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for f.Commit(ctx, m) != nil { // busy until the first one's backend is done
		<-tick.C
	}
	if f.amount() != 90 {
		t.Errorf("amount %d", f.amount())
	}
}

func TestAnUnreachableDatabaseLeavesTheOutcomeOfABranchOpen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	f := fixtureOver(t, pgtest.Pool(t, server.DSN(t, migrations)))
	m := message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	server.Stop(t)
	for what, do := range map[string]func(context.Context, participant.Message) error{"commit": f.Commit, "abort": f.Abort} {
		if err := do(ctx, m); !fault.Unknown(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	server.Restart(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for f.Commit(ctx, m) != nil {
		<-tick.C
	}
	if f.amount() != 90 {
		t.Errorf("amount %d", f.amount())
	}
}

// A session that is cut while it prepares leaves nothing behind.
func TestACutConnectionDuringPrepareIsUnknownAndHoldsNothing(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	err := f.Prepare(ctx, m, func(ctx context.Context, tx pgx.Tx) error {
		if err := take(1, 10)(ctx, tx); err != nil {
			return err
		}
		return tx.Conn().PgConn().Conn().Close()
	})
	if !fault.Unknown(err) {
		t.Fatalf("got %v", err)
	}
	f.must("abort", f.Abort(ctx, m), "")
	if f.amount() != 100 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
}
