package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/fault"
)

// watch keeps a pool on the leader, or on one member. When a connection shows that its server is gone or no longer leads,
// watch drops all connections that the pool has, once.
type watch struct {
	config     Config
	only       *member                // nil: the leader
	generation atomic.Int64           // grows with every reset
	reset      atomic.Pointer[func()] // the pool's Reset
	leader     atomic.Pointer[string] // the member of the last connection: tried first
	gate       *connectGate
	bounds     *bounds
	probe      leaderProbe // finds the leader once it is lost

	credentialsRead atomic.Int64           // when the credentials were last read, Unix milliseconds
	credentials     atomic.Pointer[[]byte] // as last read
}

// guardKey is the key of a connection's cancelGuard in its custom data.
const guardKey = "platform/pg.cancelGuard"

// keep sets in cfg how the pool makes and keeps connections.
func (w *watch) keep(cfg *pgxpool.Config) {
	cfg.HealthCheckPeriod = 2 * time.Second
	cfg.MaxConnLifetime = 10 * time.Minute
	cfg.MaxConnLifetimeJitter = 2 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.PingTimeout = time.Second
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.Tracer = w.bounds
	cfg.BeforeConnect = w.beforeConnect
	cfg.ShouldPing = w.shouldPing
	cfg.PrepareConn = w.acquired
}

func (w *watch) beforeConnect(ctx context.Context, cfg *pgx.ConnConfig) error {
	lost, err := w.gate.enter(ctx)
	if err != nil {
		return unreachable(err)
	}
	first := ""
	if last := w.leader.Load(); last != nil {
		first = *last
	}
	if err := w.config.refresh(cfg, first); err != nil {
		w.gate.leave(err, pauseAfterFailure)
		return unreachable(err)
	}
	switch {
	case w.only != nil:
		setMembers(cfg, []member{*w.only}, "")
	case lost:
		leader, err := w.probe.find(ctx, cfg)
		if err != nil {
			w.gate.leave(err, probePause)
			return unreachable(err)
		}
		setMembers(cfg, hosts(cfg), leader)
	}
	cfg.Tracer = attempt{w.bounds, w.gate}
	g := &cancelGuard{generation: w.generation.Load(), watch: w}
	cfg.DialFunc = g.dial
	cfg.AfterConnect = g.connected
	cfg.OnPgError = g.failed
	return nil
}

func unreachable(cause error) error {
	return &fault.Error{
		Op: "find the database", Kind: fault.Unavailable, Err: cause,
		Message: "the database cannot be reached", RetryAfter: time.Second,
	}
}

// expire resets the pool, unless that has been done since the connection of this generation was made. The next
// connection is made to the leader that the probe finds.
func (w *watch) expire(generation int64) {
	if !w.generation.CompareAndSwap(generation, generation+1) {
		return
	}
	w.gate.lose()
	if reset := w.reset.Load(); reset != nil {
		go (*reset)()
	}
}

// followCredentials drops the connections of the former login, as soon as each is free, when the credentials file
// changes. It reads the file once a second at most.
func (w *watch) followCredentials() {
	now, last := time.Now().UnixMilli(), w.credentialsRead.Load()
	if w.config.CredentialsFile == "" || now-last < 1000 || !w.credentialsRead.CompareAndSwap(last, now) {
		return
	}
	text, err := os.ReadFile(w.config.CredentialsFile)
	if err != nil {
		return // a new connection will fail for it
	}
	if before := w.credentials.Swap(&text); before != nil && !bytes.Equal(*before, text) {
		w.expire(w.generation.Load())
	}
}

// shouldPing has a connection that was idle for a second pinged before use.
func (w *watch) shouldPing(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	w.followCredentials()
	ping := p.IdleDuration > time.Second
	if g, ok := p.Conn.PgConn().CustomData()[guardKey].(*cancelGuard); ok {
		patience, _ := ctx.Deadline() // the zero time: as long as a ping takes
		g.patience.Store(&patience)
		g.pinging.Store(ping)
	}
	return ping
}

func (w *watch) acquired(_ context.Context, conn *pgx.Conn) (bool, error) {
	if g, ok := conn.PgConn().CustomData()[guardKey].(*cancelGuard); ok {
		g.pinging.Store(false)
	}
	return true, nil
}

// cancelGuard keeps pgx from sending cancel requests for one connection. It replaces the dial function: pgx dials anew, for a cancel request, whenever a
// connection breaks or a context ends, and a backend cancelled while it waits
// for the synchronous acknowledgement leaves a commit that is visible and not
// replicated. Instead the socket is closed at once, which also frees the pool's
// slot at once when the server is frozen; the server's own
// client_connection_check_interval and time-outs end what is left running.
type cancelGuard struct {
	watch      *watch
	generation int64
	pinging    atomic.Bool
	patience   atomic.Pointer[time.Time] // deadline of the caller that waits for the ping

	mu   sync.Mutex
	conn net.Conn // the socket, until the connection is given up
	live bool     // connected: a further dial is a cancel request
}

var errNoCancel = errors.New("cancel requests are never sent")

func (g *cancelGuard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.live {
		_ = g.conn.Close() // broken or given up already
		if g.pinging.Load() && !g.callerLeft() {
			g.watch.expire(g.generation)
		}
		return nil, errNoCancel
	}
	conn, err := dial.Dialer(connectTimeout).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	g.conn = conn
	return conn, nil
}

// callerLeft tells whether the ping ended because its caller's deadline passed. That says little about the server: a
// caller with 50 ms left must not cost all others their connections.
func (g *cancelGuard) callerLeft() bool {
	patience := g.patience.Load()
	return patience != nil && !patience.IsZero() && !time.Now().Before(*patience)
}

// connected runs once the leader has been found.
func (g *cancelGuard) connected(ctx context.Context, conn *pgconn.PgConn) error {
	g.established()
	address := conn.Conn().RemoteAddr().String()
	g.watch.leader.Store(&address)
	conn.CustomData()[guardKey] = g
	// Servers on systems that cannot watch a socket refuse this setting.
	_, err := conn.Exec(ctx, "set client_connection_check_interval = '1s'").ReadAll()
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		return nil
	}
	return err
}

// established notes that the connection is made: every further dial is a cancel request.
func (g *cancelGuard) established() {
	g.mu.Lock()
	g.live = true
	g.mu.Unlock()
}

// failed is called for every error that the server sends; false closes the connection.
func (g *cancelGuard) failed(_ *pgconn.PgConn, err *pgconn.PgError) bool {
	switch err.Code {
	case codeReadOnly, codeAdminShutdown, codeCrashShutdown:
		if g.isLive() {
			g.watch.expire(g.generation)
		}
		return false
	default:
		return err.SeverityUnlocalized != "FATAL"
	}
}

func (g *cancelGuard) isLive() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.live
}

// requireLeader refuses a member that takes no writes; the next one is tried.
// A server before version 14 does not report in_hot_standby and is refused too.
func requireLeader(_ context.Context, conn *pgconn.PgConn) error {
	standby, readOnly := conn.ParameterStatus("in_hot_standby"), conn.ParameterStatus("default_transaction_read_only")
	if standby != "off" || readOnly != "off" {
		return fmt.Errorf("not the leader: in_hot_standby=%q default_transaction_read_only=%q", standby, readOnly)
	}
	return nil
}
