package pg

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pauseAfterFailure is how long a pool makes no further attempt after none of the members accepted a connection.
const pauseAfterFailure = 300 * time.Millisecond

// connectGate lets a pool make one connection at a time. An attempt that searches for the leader costs every member a
// process, a handshake and a password check. If all waiting requests of all services searched at once, the members
// would have no time left to elect a leader. While the leader is lost, the pool's leaderProbe searches for all of them.
type connectGate struct {
	taken chan struct{} // holds one token while a connection is being made

	mu     sync.Mutex
	lost   bool // the last attempt failed, or its connection has broken
	failed error
	until  time.Time // attempts fail with failed until then
}

func newConnectGate() *connectGate { return &connectGate{taken: make(chan struct{}, 1)} }

// enter waits until no other connection is being made. It returns the error of an attempt that has just failed, if
// there is one: a caller that waited for that attempt need not repeat it. lost tells that the leader is lost.
func (g *connectGate) enter(ctx context.Context) (lost bool, err error) {
	select {
	case g.taken <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil && time.Now().Before(g.until) {
		<-g.taken
		return g.lost, g.failed
	}
	return g.lost, nil
}

// leave ends an attempt with its outcome. Further attempts fail with err for the pause, plus a random part of half of
// it so that pools do not retry in step.
func (g *connectGate) leave(err error, pause time.Duration) {
	g.mu.Lock()
	g.failed, g.lost = err, err != nil
	g.until = time.Now().Add(pause + rand.N(pause/2))
	g.mu.Unlock()
	<-g.taken
}

// lose notes that the leader is lost.
func (g *connectGate) lose() {
	g.mu.Lock()
	g.lost = true
	g.mu.Unlock()
}

// attempt is the tracer of a connection that is being made: pgx reports a failed attempt to its tracer alone.
type attempt struct {
	*bounds

	gate *connectGate
}

// TraceConnectStart leaves the bound to ConnectTimeout.
func (attempt) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd leaves the gate.
func (a attempt) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	a.gate.leave(data.Err, pauseAfterFailure)
}
