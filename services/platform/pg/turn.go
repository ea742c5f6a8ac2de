package pg

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pauseAfterFailure is how long a pool leaves the members alone after none of
// them took it in.
const pauseAfterFailure = 300 * time.Millisecond

// turn lets a pool make one connection at a time. One that looks for the leader
// costs every member a process, a handshake and a password check: were all waiting
// requests of all services to look at once, the members would have no time left to
// elect one. Once the leader is lost the pool's scouts look for all of them.
type turn struct {
	taken chan struct{} // holds one token while a connection is being made

	mu     sync.Mutex
	lost   bool // the last attempt failed, or what it made did not last
	failed error
	until  time.Time // failed is everyone's answer until then
}

func newTurn() *turn { return &turn{taken: make(chan struct{}, 1)} }

// take waits for the turn. It returns the error of the attempt that has just
// failed, if one has: whoever waited for it need not try the same again. lost
// tells that the leader of the last connection is none any more.
func (t *turn) take(ctx context.Context) (lost bool, err error) {
	select {
	case t.taken <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil && time.Now().Before(t.until) {
		<-t.taken
		return t.lost, t.failed
	}
	return t.lost, nil
}

// give ends the turn with what came of it. An error is everyone's for the pause and
// half as much again at most, so that pools don't keep step.
func (t *turn) give(err error, pause time.Duration) {
	t.mu.Lock()
	t.failed, t.lost = err, err != nil
	t.until = time.Now().Add(pause + rand.N(pause/2))
	t.mu.Unlock()
	<-t.taken
}

// lose notes that the leader is lost.
func (t *turn) lose() {
	t.mu.Lock()
	t.lost = true
	t.mu.Unlock()
}

// attempt is a connection's tracer: the only hook of pgx that hears of a failed
// attempt to connect too.
type attempt struct {
	*bounds

	turn *turn
}

// TraceConnectStart leaves the bound to ConnectTimeout.
func (attempt) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd ends the turn.
func (a attempt) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	a.turn.give(data.Err, pauseAfterFailure)
}
