package pg

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pauseAfterFailure is how long a pool leaves the members alone after none of
// them took it in; half as much again at most, so that pools don't keep step.
const pauseAfterFailure = 300 * time.Millisecond

// turn lets a pool make one connection at a time. While there is no leader,
// each attempt asks every member, which costs them a process, a handshake and a
// password check each: were all waiting requests of all services to ask at once
// and again, the members would have no time left to elect one.
type turn struct {
	taken chan struct{} // holds one token while a connection is being made

	mu     sync.Mutex
	failed error
	until  time.Time // failed is everyone's answer until then
}

func newTurn() *turn { return &turn{taken: make(chan struct{}, 1)} }

// take waits for the turn. It returns the error of the attempt that has just
// failed, if one has: whoever waited for it need not try the same again.
func (t *turn) take(ctx context.Context) error {
	select {
	case t.taken <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil && time.Now().Before(t.until) {
		<-t.taken
		return t.failed
	}
	return nil
}

// give ends the turn with what came of it.
func (t *turn) give(err error) {
	t.mu.Lock()
	t.failed = err
	t.until = time.Now().Add(pauseAfterFailure + rand.N(pauseAfterFailure/2))
	t.mu.Unlock()
	<-t.taken
}

// end is the only hook of pgx that hears of a failed attempt too: a tracer. It
// traces nothing else.
type end struct{ turn *turn }

func (e end) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

func (e end) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	e.turn.give(data.Err)
}

func (e end) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (e end) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
