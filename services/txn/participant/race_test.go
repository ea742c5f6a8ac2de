package participant_test

import (
	"context"
	"encoding/json"
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
	f.must("second", <-second, "") // its wait times out, then it finds the first prepared
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

// held is a call that runs until it is released.
type held struct {
	goOn chan struct{}
	done chan error
}

// hold starts a do whose work has run and is not committed.
func (f fixture) hold(k participant.Key, then error) held {
	f.t.Helper()
	h, working := held{make(chan struct{}), make(chan error, 1)}, make(chan struct{})
	go func() {
		_, err := f.Do(context.Background(), k, func(ctx context.Context, tx pgx.Tx) (any, error) {
			result, err := takeStep(k, 10)(ctx, tx)
			close(working)
			<-h.goOn
			if err == nil {
				err = then
			}
			return result, err
		})
		h.done <- err
	}()
	<-working
	return h
}

func TestARepeatThatMeetsARunningDoWaitsForItsResult(t *testing.T) {
	f, k := patient(t, "&lock_timeout=30s"), key()
	first := f.hold(k, nil)
	second := make(chan error, 1)
	go func() {
		result, err := f.Do(context.Background(), k, f.never)
		if err == nil && string(result) != `{"amount": 10}` {
			t.Errorf("result %s", result)
		}
		second <- err
	}()
	f.waitForLocks(1)
	close(first.goOn)
	f.must("first", <-first.done, "")
	f.must("second", <-second, "")
	f.has(90, "done", 1)
}

func TestARepeatThatWaitsForTooLongIsContendedAndKeepsNothing(t *testing.T) {
	f, ctx, k := patient(t, ""), context.Background(), key()
	first := f.hold(k, nil)
	_, err := f.Do(ctx, k, f.never)
	f.must("second", err, fault.Contended)
	f.must("undo", f.Undo(ctx, k, f.neverBack), fault.Contended)
	close(first.goOn)
	f.must("first", <-first.done, "")
	_, err = f.Do(ctx, k, f.never)
	f.must("second again", err, "")
	f.must("undo again", f.Undo(ctx, k, giveBack(k)), "")
	f.has(100, "undone", 1)
}

// The repeat finds no marker any more, and does the work itself.
func TestARepeatThatMeetsADoThatFailsTakesItsPlace(t *testing.T) {
	f, k := patient(t, "&lock_timeout=30s"), key()
	first := f.hold(k, fault.New(fault.Unavailable, "gone"))
	second := make(chan error, 1)
	go func() {
		_, err := f.Do(context.Background(), k, takeStep(k, 10))
		second <- err
	}()
	f.waitForLocks(1)
	close(first.goOn)
	f.must("first", <-first.done, fault.Unavailable)
	f.must("second", <-second, "")
	f.has(90, "done", 1)
}

func TestAnUndoThatMeetsARunningDoTakesItBack(t *testing.T) {
	f, k := patient(t, "&lock_timeout=30s"), key()
	do := f.hold(k, nil)
	undo := make(chan error, 1)
	go func() { undo <- f.Undo(context.Background(), k, giveBack(k)) }()
	f.waitForLocks(1)
	close(do.goOn)
	f.must("do", <-do.done, "")
	f.must("undo", <-undo, "")
	f.has(100, "undone", 1)
	if n := f.value("select count(*) from moves"); n != 2 {
		t.Errorf("%d moves", n)
	}
}

// The refusal is stored after the work's rollback, and the undo waits for just
// that: it may come first. Then the answer is that the step is undone.
func TestAnUndoThatMeetsARefusalWins(t *testing.T) {
	f, ctx, k := patient(t, "&lock_timeout=30s"), context.Background(), key()
	do := f.hold(k, fault.New(fault.VersionMismatch, ""))
	undo := make(chan error, 1)
	go func() { undo <- f.Undo(ctx, k, f.neverBack) }()
	f.waitForLocks(1)
	close(do.goOn)
	if err := <-do.done; fault.KindOf(err) != fault.VersionMismatch && fault.KindOf(err) != fault.Aborted {
		t.Errorf("do: %v", err)
	}
	f.must("undo", <-undo, "")
	_, err := f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	f.has(100, "undone", 1)
}

// A refusal may turn out to be of a step that another call has done meanwhile.
func TestARefusalDoesNotReplaceAnotherOutcome(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	for state, want := range map[string]fault.Kind{"done": "", "undone": fault.Aborted, "refused": fault.InvalidField} {
		const other = "insert into step_markers (saga, step, state, result) values ($1, $2, $3, '{\"kind\": \"invalid_field\"}')"
		_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
			// As if the marker had gone already, with the rollback.
			if _, err := tx.Exec(ctx, "delete from step_markers"); err != nil {
				return nil, err
			}
			if _, err := tx.Exec(ctx, "commit"); err != nil {
				return nil, err
			}
			if _, err := tx.Exec(ctx, other, k.Saga, k.Step, state); err != nil {
				return nil, err
			}
			return nil, fault.New(fault.VersionMismatch, "")
		})
		f.must(state, err, want)
		if _, err := f.pool.Exec(ctx, "delete from step_markers"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUndosAtOnceTakeBackOnce(t *testing.T) {
	f, ctx, k := patient(t, "&lock_timeout=30s"), context.Background(), key()
	_, err := f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := f.Undo(ctx, k, giveBack(k)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f.has(100, "undone", 1)
	if n := f.value("select count(*) from moves"); n != 2 {
		t.Errorf("%d moves", n)
	}
}

// Sagas all take from one account, each called several times at once and
// some of them undone meanwhile.
func TestManyAtOnceEndDoneOrUndone(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	var all sync.WaitGroup
	again := func(call func() error) {
		all.Go(func() {
			err := call()
			for fault.KindOf(err) == fault.Contended && err != nil {
				err = call()
			}
			if err != nil && fault.KindOf(err) != fault.Aborted {
				t.Error(err)
			}
		})
	}
	const sagas = 30
	for i := range sagas {
		k := key()
		for range 3 {
			again(func() error { _, err := f.Do(ctx, k, takeStep(k, 1)); return err })
		}
		if i%2 == 0 {
			again(func() error { return f.Undo(ctx, k, giveBack(k)) })
			again(func() error { return f.Undo(ctx, k, giveBack(k)) })
		}
	}
	all.Wait()
	f.has(100-sagas/2, "done", sagas/2)
	f.has(100-sagas/2, "undone", sagas/2)
	if n := f.value("select count(*) from (select 1 from moves group by saga having sum(delta) not in (-1, 0) or count(*) > 2) m"); n != 0 {
		t.Errorf("%d sagas moved wrongly", n)
	}
}

func TestStepsThatWaitLeaveConnectionsToOthers(t *testing.T) {
	f, ctx := patient(t, "&lock_timeout=30s"), context.Background()
	holder := f.hold(key(), nil)
	var waiting sync.WaitGroup
	for range 40 { // more than the pool has connections
		waiting.Go(func() {
			k := key()
			if _, err := f.Do(ctx, k, takeStep(k, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	f.waitForLocks(11) // all that may, beside the holder
	if got := f.amount(); got != 100 {
		t.Errorf("amount %d", got)
	}
	close(holder.goOn)
	f.must("holder", <-holder.done, "")
	waiting.Wait()
	f.has(50, "done", 41)
}

// A work that is cut off by its caller's deadline leaves nothing, and its
// connection is not used again.
func TestACallerWhoGoesAwayLeavesNothing(t *testing.T) {
	f, k := newFixture(t), key()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		err := move(ctx, tx, k, -10)
		cancel()
		if err == nil {
			err = move(ctx, tx, k, -10)
		}
		return nil, err
	})
	if !fault.Unknown(err) {
		t.Fatalf("got %v", err)
	}
	f.has(100, "done", 0)
}

// Once the work is done, its caller's going away changes nothing.
func TestACommitOutlivesItsCaller(t *testing.T) {
	f, k := newFixture(t), key()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		defer cancel()
		return takeStep(k, 10)(ctx, tx)
	})
	f.must("do", err, "")
	ctx, cancel = context.WithCancel(context.Background())
	f.must("undo", f.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		defer cancel()
		return giveBack(k)(ctx, tx, result)
	}), "")
	f.has(100, "undone", 1)
	refused := key()
	ctx, cancel = context.WithCancel(context.Background())
	_, err = f.Do(ctx, refused, func(context.Context, pgx.Tx) (any, error) {
		cancel()
		return nil, fault.New(fault.VersionMismatch, "none")
	})
	f.must("refusal", err, fault.VersionMismatch)
	f.has(100, "refused", 1)
}
