package pg_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestInTxCommitsOrLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, notes)
	insert := func(tx pgx.Tx, id int, body string) error {
		_, err := tx.Exec(ctx, "insert into notes values ($1, $2)", id, body)
		return err
	}
	if err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return insert(tx, 1, "kept") }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return errors.Join(insert(tx, 2, "undone"), boom) })
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	// The unique constraint is deferred: it is the commit that fails.
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error { return insert(tx, 3, "kept") })
	if !pg.IsUnique(err, "notes_body_key") {
		t.Errorf("a commit that fails: %v", err)
	}
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error { return insert(tx, 4, "") })
	if !pg.IsCheck(err, "notes_body_check") {
		t.Errorf("a check that fails: %v", err)
	}
	var ids []int
	rows, err := pool.Query(ctx, "select id from notes")
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if err != nil || len(ids) != 1 || ids[0] != 1 {
		t.Errorf("stored %v, %v", ids, err)
	}
}

func TestInTxRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, notes)
	func() {
		defer func() { _ = recover() }()
		_ = pg.InTx(context.Background(), pool, func(pgx.Tx) error { panic("bug") })
	}()
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were kept", n)
	}
}

func TestACommitWhoseAnswerIsLostIsUnknown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, notes)
	err := pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into notes values (1, 'x')")
		_ = tx.Conn().PgConn().Conn().Close()
		return err
	})
	if fault.KindOf(err) != fault.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
}

func TestASecondWriterOfALockedRowIsTurnedAwaySoon(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, notes)
	if _, err := pool.Exec(ctx, "insert into notes values (1, 'x')"); err != nil {
		t.Fatal(err)
	}
	err := pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select from notes where id = 1 for update"); err != nil {
			return err
		}
		began := time.Now()
		_, err := pool.Exec(ctx, "update notes set body = 'y' where id = 1")
		if took := time.Since(began); took > 3*time.Second { // the lock_timeout of 500 ms on a busy machine
			t.Errorf("waited %s", took)
		}
		return pg.Fault("update", err)
	})
	if fault.KindOf(err) != fault.Contended {
		t.Errorf("got %v", err)
	}
}

func TestFaultKinds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, notes)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, tooLate := pool.Exec(short, "select pg_sleep(1)")
	_, syntax := pool.Exec(ctx, "selec 1")
	_, killed := pool.Exec(ctx, "select pg_terminate_backend(pg_backend_pid())")
	_, gone := pool.Exec(ctx, "select pg_read_file('gone')")
	_, nobody := pgtest.Pool(t, "postgres://u@127.0.0.1:1/nothing?sslmode=disable").Exec(ctx, "select 1")
	cases := []struct {
		name string
		err  error
		want fault.Kind
	}{
		{"deadline", tooLate, fault.DeadlineExceeded},
		{"syntax", syntax, fault.Internal},
		{"terminated", killed, fault.Unavailable},
		{"a file that is gone", gone, fault.Unavailable},
		{"no server", nobody, fault.Unavailable},
		{"a fault", fault.New(fault.VersionMismatch, ""), fault.VersionMismatch},
	}
	for _, c := range cases {
		if got := fault.KindOf(pg.Fault("test", c.err)); got != c.want {
			t.Errorf("%s: got %s, want %s (%v)", c.name, got, c.want, c.err)
		}
	}
	if pg.Fault("test", nil) != nil {
		t.Error("no error became one")
	}
}

// What is visible on a leader whose standby is away must not be reported.
func TestAwaitReplicationWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	pool := pgtest.Pool(t, server.DSN(t, fstest.MapFS{"00001_nothing.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}))
	if err := pg.AwaitReplication(ctx, pool); err != nil {
		t.Fatal(err)
	}
	server.HoldCommits(t)
	defer server.ReleaseCommits(t)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := pg.AwaitReplication(short, pool); !fault.Unknown(err) {
		t.Errorf("%v: answered although no standby has it", err)
	}
}
