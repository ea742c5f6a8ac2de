package participant_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

// wire lies between a pool and its server. Cut, it still brings the server
// what it is sent and ends at the answer, which reaches nobody.
type wire struct {
	net.Listener
	server string
	cut    atomic.Bool
	open   sync.WaitGroup
}

// overWire is a participant that reaches the shared server by a wire.
func overWire(t *testing.T) (fixture, *wire) {
	t.Helper()
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: listener, server: pgtest.Server(t).Addr()}
	w.open.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.open.Wait()
	})
	dsn := strings.Replace(pgtest.DSN(t, migrations), w.server, listener.Addr().String(), 1)
	return fixtureOver(t, pgtest.Pool(t, dsn)), w
}

func (w *wire) accept() {
	for {
		client, err := w.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		end := func() { _, _ = client.Close(), server.Close() }
		w.open.Go(func() {
			defer end()
			_, _ = io.Copy(server, client)
		})
		w.open.Go(func() {
			defer end()
			w.answer(client, server)
		})
	}
}

func (w *wire) answer(client io.Writer, server io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || w.cut.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// warm has the pool's connection know all statements of a step: the next answer
// that counts is a commit's. It leaves an undone step.
func (f fixture) warm() {
	f.t.Helper()
	k := key()
	_, err := f.Do(context.Background(), k, takeStep(k, 0))
	f.must("do", err, "")
	f.must("undo", f.Undo(context.Background(), k, giveBack(k)), "")
}

func TestACommitWhoseAnswerIsLostIsUnknownAndHoldsWhenRepeated(t *testing.T) {
	f, w := overWire(t)
	ctx, k := context.Background(), key()
	f.warm()
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		defer w.cut.Store(true)
		return takeStep(k, 10)(ctx, tx)
	})
	f.must("do", err, fault.OutcomeUnknown)
	w.cut.Store(false)
	result, err := f.Do(ctx, k, f.never)
	f.must("do again", err, "")
	if string(result) != `{"amount": 10}` {
		t.Errorf("result %s", result)
	}
	f.has(90, "done", 1)
	f.warm()
	err = f.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		defer w.cut.Store(true)
		return giveBack(k)(ctx, tx, result)
	})
	f.must("undo", err, fault.OutcomeUnknown)
	w.cut.Store(false)
	f.must("undo again", f.Undo(ctx, k, f.neverBack), "")
	f.has(100, "undone", 3)
}

func TestARefusalWhoseAnswerIsLostIsUnknownAndHoldsWhenRepeated(t *testing.T) {
	f, w := overWire(t)
	ctx, k := context.Background(), key()
	_, err := f.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) {
		w.cut.Store(true)
		return nil, fault.New(fault.VersionMismatch, "none")
	})
	if !fault.Unknown(err) {
		t.Fatalf("got %v", err) // cut at the rollback, so that nothing is stored
	}
	w.cut.Store(false)
	_, err = f.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return nil, fault.New(fault.VersionMismatch, "none") })
	f.must("again", err, fault.VersionMismatch)
	f.has(100, "refused", 1)
}

// A session that is cut in the middle of its work leaves nothing behind.
func TestACutConnectionIsUnknownAndHoldsNothing(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	cut := func(tx pgx.Tx, err error) error { return errors.Join(err, tx.Conn().PgConn().Conn().Close()) }
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		return nil, cut(tx, move(ctx, tx, k, -10))
	})
	if !fault.Unknown(err) {
		t.Fatalf("do: %v", err)
	}
	_, err = f.Do(ctx, k, takeStep(k, 10))
	f.must("do again", err, "")
	err = f.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		return cut(tx, giveBack(k)(ctx, tx, result))
	})
	if !fault.Unknown(err) {
		t.Fatalf("undo: %v", err)
	}
	f.has(90, "done", 1)
	f.must("undo again", f.Undo(ctx, k, giveBack(k)), "")
	f.has(100, "undone", 1)
}

func TestAnUnreachableDatabaseLeavesTheOutcomeOfAStepOpen(t *testing.T) {
	t.Parallel()
	ctx, k := context.Background(), key()
	server := pgtest.Start(t, pgtest.Options{})
	f := fixtureOver(t, pgtest.Pool(t, server.DSN(t, migrations)))
	_, err := f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
	server.Kill(t)
	for _, k := range []participant.Key{k, key()} {
		if _, err := f.Do(ctx, k, f.never); !fault.Unknown(err) {
			t.Errorf("do: %v", err)
		}
		if err := f.Undo(ctx, k, f.neverBack); !fault.Unknown(err) {
			t.Errorf("undo: %v", err)
		}
	}
	server.Restart(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for f.Undo(ctx, k, giveBack(k)) != nil {
		<-tick.C
	}
	f.has(100, "undone", 1)
}
