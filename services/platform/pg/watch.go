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

// watch keeps a pool on the leader, or on one member. When a connection shows
// that its server is gone or no longer the leader, all connections made before
// are dropped, once.
type watch struct {
	config     Config
	only       *member                // nil: whichever leads
	generation atomic.Int64           // grows with every reset
	reset      atomic.Pointer[func()] // the pool's Reset
	leader     atomic.Pointer[string] // the member that took the last connection: asked first
	turn       *turn
	bounds     *bounds
	scouts     scouts // look for the leader once it is lost

	looked      atomic.Int64           // when the credentials were last looked at, Unix milliseconds
	credentials atomic.Pointer[[]byte] // what they were then
}

// guardKey is where a connection keeps its guard.
const guardKey = "bookstore.guard"

// keep has a pool make and hold its connections as the watch wants them.
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
	lost, err := w.turn.take(ctx)
	if err != nil {
		return unreachable(err)
	}
	first := ""
	if last := w.leader.Load(); last != nil {
		first = *last
	}
	if err := w.config.refresh(cfg, first); err != nil {
		w.turn.give(err, pauseAfterFailure)
		return unreachable(err)
	}
	switch {
	case w.only != nil:
		setMembers(cfg, []member{*w.only}, "")
	case lost:
		leader, err := w.scouts.find(ctx, cfg)
		if err != nil {
			w.turn.give(err, scoutsPause)
			return unreachable(err)
		}
		setMembers(cfg, hosts(cfg), leader)
	}
	cfg.Tracer = attempt{w.bounds, w.turn}
	g := &guard{generation: w.generation.Load(), watch: w}
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

// expire resets the pool unless that has been done since the connection of
// this generation was made. The next connection is made with the scouts' help.
func (w *watch) expire(generation int64) {
	if !w.generation.CompareAndSwap(generation, generation+1) {
		return
	}
	w.turn.lose()
	if reset := w.reset.Load(); reset != nil {
		go (*reset)()
	}
}

// heedCredentials drops the connections of a login that is not to be used any
// more, as soon as each is free. It looks once a second at most.
func (w *watch) heedCredentials() {
	now, last := time.Now().UnixMilli(), w.looked.Load()
	if w.config.CredentialsFile == "" || now-last < 1000 || !w.looked.CompareAndSwap(last, now) {
		return
	}
	text, err := os.ReadFile(w.config.CredentialsFile)
	if err != nil {
		return // a new connection will say so
	}
	if before := w.credentials.Swap(&text); before != nil && !bytes.Equal(*before, text) {
		w.expire(w.generation.Load())
	}
}

// shouldPing has a connection that was idle for a second pinged before use.
func (w *watch) shouldPing(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	w.heedCredentials()
	ping := p.IdleDuration > time.Second
	if g, ok := p.Conn.PgConn().CustomData()[guardKey].(*guard); ok {
		patience, _ := ctx.Deadline() // the zero time: as long as a ping takes
		g.patience.Store(&patience)
		g.pinging.Store(ping)
	}
	return ping
}

func (w *watch) acquired(_ context.Context, conn *pgx.Conn) (bool, error) {
	if g, ok := conn.PgConn().CustomData()[guardKey].(*guard); ok {
		g.pinging.Store(false)
	}
	return true, nil
}

// guard is one connection's. It replaces the dial function so that pgx never
// sends a cancel request: pgx dials anew, for a cancel request, whenever a
// connection breaks or a context ends, and a backend cancelled while it waits
// for the synchronous acknowledgement leaves a commit that is visible and not
// replicated. Instead the socket is closed at once, which also frees the pool's
// slot at once when the server is frozen; the server's own
// client_connection_check_interval and time-outs end what is left running.
type guard struct {
	watch      *watch
	generation int64
	pinging    atomic.Bool
	patience   atomic.Pointer[time.Time] // when who waits for the ping gives up

	mu   sync.Mutex
	conn net.Conn // the socket, until the connection is given up
	live bool     // connected: a further dial is a cancel request
}

var errNoCancel = errors.New("cancel requests are never sent")

func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.live {
		_ = g.conn.Close() // broken or given up already
		if g.pinging.Load() && !g.hasty() {
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

// hasty tells whether the ping ended because its caller's time was up. That
// says little about the server: somebody with 50 ms left must not cost all the
// others their connections.
func (g *guard) hasty() bool {
	patience := g.patience.Load()
	return patience != nil && !patience.IsZero() && !time.Now().Before(*patience)
}

// connected runs once the leader has been found.
func (g *guard) connected(ctx context.Context, conn *pgconn.PgConn) error {
	g.settle()
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

// settle notes that the connection is made: no other is from here on.
func (g *guard) settle() {
	g.mu.Lock()
	g.live = true
	g.mu.Unlock()
}

// failed sees every error the server sends; false closes the connection.
func (g *guard) failed(_ *pgconn.PgConn, err *pgconn.PgError) bool {
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

func (g *guard) isLive() bool {
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
