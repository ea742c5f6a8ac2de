package pg

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	probeWait    = 500 * time.Millisecond // how long a connection attempt waits for a leader
	probePause   = 50 * time.Millisecond  // between two rounds of probes, and after an attempt
	probeTimeout = 200 * time.Millisecond // of one probe
	probeRedial  = 500 * time.Millisecond // between two connections to a member that refused one
	probeIdle    = 5 * time.Second        // probe connections are closed so long after the last attempt
)

// leaderProbe finds the new leader for a pool that has lost its own. Every connection attempt that a standby refuses
// costs both sides a process, a handshake and a password check, and a moment later the same server may lead. The probe
// instead keeps one connection open to each member and queries its role there: that is cheap, and a new leader is
// found within probePause.
type leaderProbe struct {
	mu      sync.Mutex
	members map[member]*probed
	idle    *time.Timer // closes all connections
}

// probed is one member's probe connection.
type probed struct {
	conn    *pgconn.PgConn // nil: none
	dialing bool
	next    time.Time // not dialed before
	err     error     // why there is no connection
}

// find waits for a member that leads, up to probeWait, and returns its address. cfg has the members and how to log in.
func (p *leaderProbe) find(ctx context.Context, cfg *pgx.ConnConfig) (leader string, err error) {
	end := time.Now().Add(probeWait)
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for {
		leader, err = p.round(ctx, cfg)
		if leader != "" || !time.Now().Before(end) {
			return leader, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// round probes every member that has a connection and starts to dial the others.
func (p *leaderProbe) round(ctx context.Context, cfg *pgx.ConnConfig) (leader string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.members, p.idle = map[member]*probed{}, time.AfterFunc(probeIdle, p.closeAll)
	}
	p.idle.Reset(probeIdle)
	for _, m := range hosts(cfg) {
		one := p.members[m]
		if one == nil {
			one = &probed{err: errors.New("not probed yet")}
			p.members[m] = one
		}
		if one.conn != nil {
			if one.err = leads(ctx, one.conn); one.err == nil {
				go p.closeAll() //nolint:gosec // it outlives the attempt, as what it closes did
				return m.String(), nil
			}
			if one.conn.IsClosed() {
				one.conn, one.next = nil, time.Now().Add(probeRedial)
			}
		} else if !one.dialing && time.Now().After(one.next) {
			one.dialing = true
			go p.dial(one, only(cfg, m)) //nolint:gosec // the next attempt may have use of it; connectTimeout bounds it
		}
		err = errors.Join(err, one.err)
	}
	return "", err
}

// leads returns nil when the member leads. The server reports its role with the answer to any statement.
func leads(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "").ReadAll(); err != nil {
		return err
	}
	return requireLeader(ctx, conn)
}

// dial opens a probe connection, within connectTimeout.
func (p *leaderProbe) dial(one *probed, cfg *pgconn.Config) {
	conn, err := pgconn.ConnectConfig(context.Background(), cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	one.conn, one.err, one.dialing, one.next = conn, err, false, time.Now().Add(probeRedial)
	p.idle.Reset(probeIdle)
}

func (p *leaderProbe) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.members {
		if one.conn == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		_ = one.conn.Close(ctx) // the server is told where it listens; the socket is closed in any case
		cancel()
		one.conn = nil
	}
}

// only is the configuration of a connection to one of cfg's members, whatever its role.
func only(cfg *pgx.ConnConfig, m member) *pgconn.Config {
	one, g := cfg.Copy(), &cancelGuard{}
	setMembers(one, []member{m}, "")
	one.DialFunc, one.ValidateConnect = g.dial, nil
	one.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		g.established()
		return nil
	}
	return &one.Config
}

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
