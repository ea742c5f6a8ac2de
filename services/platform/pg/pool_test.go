package pg_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/wait/waittest"
)

// open opens a pool over a member list that the test may rewrite.
func open(t *testing.T, maxConns int32, members ...string) (pool *pgxpool.Pool, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "members")
	write(t, file, members...)
	pool, err := pg.Open(context.Background(), pg.Config{
		DSN: "postgres://postgres@/postgres?sslmode=disable", MembersFile: file, MaxConns: maxConns,
	}, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, file
}

func write(t *testing.T, file string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T, pool *pgxpool.Pool) (port string) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), "select current_setting('port')").Scan(&port); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, notes)
	for setting, want := range map[string]string{
		"lock_timeout": "500ms", "idle_in_transaction_session_timeout": "1s", "statement_timeout": "5s",
		"client_connection_check_interval": "1s", "synchronous_commit": "on", "application_name": "TestSessionSettings",
	} {
		var got string
		if err := pool.QueryRow(context.Background(), "select current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", setting, got, want, err)
		}
	}
}

func TestThePoolFollowsTheLeader(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	first, second := pgtest.Start(t, pgtest.Options{}), pgtest.Server(t)
	// A member that is not there and one that takes no writes are passed over.
	standby := pgtest.Start(t, pgtest.Options{Settings: []string{"default_transaction_read_only=on"}})
	pool, members := open(t, 4, "127.0.0.1:1", standby.Addr(), first.Addr())
	if at := port(t, pool); !strings.HasSuffix(first.Addr(), at) {
		t.Fatalf("connected to %s", at)
	}
	// The leader is demoted under its connections: the first write that it
	// refuses drops them all, and the next finds the new leader.
	set(t, first, "default_transaction_read_only = on")
	write(t, members, "127.0.0.1:1", standby.Addr(), first.Addr(), second.Addr())
	var err error
	waittest.Eventually(t, "the connection's backend gets it", func() bool {
		_, err = pool.Exec(ctx, "create table if not exists refused (id int)")
		return err != nil
	})
	if pg.Code(err) != "25006" || fault.KindOf(pg.Fault("write", err)) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
	waittest.Eventually(t, "the new leader", func() bool { return strings.HasSuffix(second.Addr(), port(t, pool)) })
}

// set changes a setting of a running server.
func set(t *testing.T, server *pgtest.Instance, setting string) {
	t.Helper()
	if _, err := server.Conn(t, "postgres").Exec(context.Background(), "alter system set "+setting); err != nil {
		t.Fatal(err)
	}
	server.Reload(t)
}

func TestMembersAndCredentialsAreReadAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	first := pgtest.Start(t, pgtest.Options{})
	pool, members := open(t, 4, first.Addr())
	if at := port(t, pool); !strings.HasSuffix(first.Addr(), at) {
		t.Fatalf("connected to %s", at)
	}
	first.Kill(t)
	if _, err := pool.Exec(ctx, "select 1"); fault.KindOf(pg.Fault("query", err)) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	write(t, members, "# moved", "", pgtest.Server(t).Addr())
	if at := port(t, pool); !strings.HasSuffix(pgtest.Server(t).Addr(), at) {
		t.Errorf("still at %s", at)
	}
}

func TestARestartedServerIsFoundAgain(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	pool, _ := open(t, 4, server.Addr())
	_ = port(t, pool)
	server.Kill(t)
	server.Restart(t)
	// Connections of before are broken; each is thrown away on its first use.
	waittest.Eventually(t, "a new connection", func() bool {
		_, err := pool.Exec(context.Background(), "select 1")
		return err == nil
	})
}

// frontman passes connections on to a server and counts them.
type frontman struct {
	net.Listener
	target string
	seen   atomic.Int32
	frozen atomic.Bool // swallow what comes in
	wg     sync.WaitGroup
}

func newFrontman(t *testing.T, target string) *frontman {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &frontman{Listener: l, target: target}
	f.wg.Go(f.serve)
	t.Cleanup(func() { _ = l.Close(); f.wg.Wait() })
	return f
}

func (f *frontman) serve() {
	for {
		client, err := f.Accept()
		if err != nil {
			return
		}
		f.seen.Add(1)
		server, err := net.Dial("tcp", f.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.wg.Go(func() { f.pipe(server, client) })
		f.wg.Go(func() { f.pipe(client, server) })
	}
}

func (f *frontman) pipe(to, from net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !f.frozen.Load() {
			_, _ = to.Write(buffer[:n])
		}
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// A cancel request would be a second connection. It could reach a backend that
// waits for the synchronous acknowledgement of a commit.
func TestAClientThatGivesUpSendsNoCancelRequest(t *testing.T) {
	t.Parallel()
	front := newFrontman(t, pgtest.Server(t).Addr())
	pool, _ := open(t, 1, front.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := pool.Exec(ctx, "/* given up */ select pg_sleep(60)")
	if fault.KindOf(pg.Fault("wait", err)) != fault.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	if n := front.seen.Load(); n != 1 {
		t.Errorf("%d connections instead of 1", n)
	}
	// The server notices by itself that the client is gone.
	watcher := pgtest.Pool(t, pgtest.Server(t).URL("postgres"))
	waittest.Eventually(t, "the backend ends", func() bool {
		var left int
		err := watcher.QueryRow(context.Background(), "select count(*) from pg_stat_activity where query like '/* given up */%'").Scan(&left)
		return err == nil && left == 0
	})
}

// A frozen server must not hold the pool's places: pgx alone would wait for 15 s.
func TestAFrozenServerFreesThePoolAtOnce(t *testing.T) {
	t.Parallel()
	front := newFrontman(t, pgtest.Server(t).Addr())
	pool, members := open(t, 1, front.Addr().String())
	_ = port(t, pool)
	front.frozen.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := pool.Exec(ctx, "select 1"); err == nil {
		t.Fatal("the frozen server answered")
	}
	write(t, members, pgtest.Server(t).Addr())
	began := time.Now()
	_ = port(t, pool)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestBadFilesAreUnavailableNotFatal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, text := range map[string]string{"empty": "", "no port": "127.0.0.1", "bad port": "127.0.0.1:many"} {
		pool, _ := open(t, 2, text)
		if _, err := pool.Exec(ctx, "select 1"); fault.KindOf(pg.Fault("query", err)) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCollectorShowsThePool(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	dsn := config.Secret(pgtest.Server(t).URL("postgres"))
	pool, err := pg.Open(context.Background(), pg.Config{DSN: dsn, MaxConns: 3}, "test", reg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(context.Background(), "select 1"); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	if got["db_pool_connections_max"] != 3 || got["db_pool_connections"] != 1 || got["db_pool_connects_total"] != 1 {
		t.Errorf("got %v", got)
	}
}

// Without a leader every attempt costs each member a process and a password check: those who
// wait at the same time search once.
func TestWithoutALeaderAPoolSearchesOnceForAll(t *testing.T) {
	t.Parallel()
	standby := pgtest.Start(t, pgtest.Options{Settings: []string{"default_transaction_read_only=on"}})
	front := newFrontman(t, standby.Addr())
	pool, members := open(t, 8, front.Addr().String())
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := pool.Exec(context.Background(), "select 1"); fault.KindOf(pg.Fault("query", err)) != fault.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
	callers.Wait()
	if n := front.seen.Load(); n > 5 {
		t.Errorf("%d connections for 50 who waited", n)
	}
	write(t, members, pgtest.Server(t).Addr())
	waittest.Eventually(t, "the leader", func() bool {
		_, err := pool.Exec(context.Background(), "select 1")
		return err == nil
	})
}

// A pool that is used all the time while there is no leader connects to a member
// twice, in its first attempt and to wait there; it has the leader a moment after there is one.
func TestAPoolWaitsForTheNextLeaderOnConnectionsItHas(t *testing.T) {
	t.Parallel()
	standby := pgtest.Start(t, pgtest.Options{})
	set(t, standby, "default_transaction_read_only = on")
	front := newFrontman(t, standby.Addr())
	pool, _ := open(t, 4, "127.0.0.1:1", front.Addr().String())
	query := func() error {
		_, err := pool.Exec(context.Background(), "select 1")
		return err
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if err := query(); fault.KindOf(pg.Fault("query", err)) != fault.Unavailable {
			t.Fatalf("got %v", err)
		}
	}
	if n := front.seen.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	set(t, standby, "default_transaction_read_only = off")
	waittest.Eventually(t, "the leader", func() bool { return query() == nil })
	if n := front.seen.Load(); n != 3 {
		t.Errorf("%d connections with the leader's", n)
	}
}

func TestSlotsKeepAQuarterOfThePool(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool, err := pg.Open(ctx, pg.Config{DSN: config.Secret(pgtest.DSN(t, notes)), MaxConns: 4}, "slots", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	slots := pg.NewSlots(pool)
	var releases []func()
	for range 3 {
		_, release, err := slots.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, _, err := slots.Acquire(short); fault.KindOf(err) != fault.DeadlineExceeded {
		t.Errorf("a fourth slot of four connections: %v", err)
	}
	if err := pool.Ping(ctx); err != nil {
		t.Errorf("nothing is left for the others: %v", err)
	}
	for _, release := range releases {
		release()
	}
	pool.Close()
	for range 4 { // a slot without a connection is given back
		if _, _, err := slots.Acquire(ctx); !fault.Unknown(err) {
			t.Errorf("a connection of a closed pool: %v", err)
		}
	}
}
