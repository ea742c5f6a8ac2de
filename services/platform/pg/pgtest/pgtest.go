// Package pgtest gives tests a real PostgreSQL, started from the machine's own
// binaries. One server serves all tests of a package; each test gets a
// database of its own, cloned from a migrated template. Nothing is skipped: a
// machine without PostgreSQL fails the test and says what to install.
package pgtest

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
)

// Options shape a server. The zero value is right for most tests.
type Options struct {
	Fsync    bool      // keep writes safe from a crash of the machine; off is faster
	Settings []string  // more settings, as name=value
	Bin      string    // the server's directory, one of Binaries; the highest version's when empty
	Follow   *Instance // the server that this one is a streaming standby of; nil: it is no standby
}

// shared is the one server of the test process.
var shared struct {
	sync.Mutex
	instance *Instance
	err      error
}

// Server returns the test process's one server and starts it on first use.
// Main stops it.
func Server(t testing.TB) *Instance {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.instance == nil && shared.err == nil {
		shared.instance, shared.err = start(Options{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.instance
}

// Start runs a server of the test's own beside the shared one; it is stopped
// when the test ends.
func Start(t testing.TB, o Options) *Instance {
	t.Helper()
	instance, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instance.close)
	return instance
}

// Main runs the tests, stops the shared server, and fails when goroutines are
// left. Call it from TestMain; it does not return.
func Main(m *testing.M, opts ...goleak.Option) {
	code := m.Run()
	shared.Lock()
	if shared.instance != nil {
		shared.instance.close()
	}
	shared.Unlock()
	if code == 0 {
		if err := goleak.Find(opts...); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Database is a fresh database of the shared server with the migrations
// applied, and a pool with a service's session settings. It goes with the test.
func Database(t testing.TB, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	return Server(t).Database(t, migrations)
}

// DSN is the connection string of a fresh, migrated database of the shared
// server, for tests that start processes.
func DSN(t testing.TB, migrations fs.FS) string {
	t.Helper()
	return Server(t).DSN(t, migrations)
}

// Database is Database on this server.
func (i *Instance) Database(t testing.TB, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	return Pool(t, i.DSN(t, migrations))
}

// Pool opens a pool as a service does and closes it with the test, which fails
// when anything but itself made a call without a deadline.
func Pool(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	u := &unbounded{}
	pool, err := pg.Open(context.Background(), pg.Config{DSN: config.Secret(dsn), MaxConns: 16}, name(t), nil, pg.OnUnbounded(u.note))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		u.judge(t)
	})
	return pool
}

// URL is the superuser's connection string of the named database.
func (i *Instance) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: i.Addr(), Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Addr is the server's host:port.
func (i *Instance) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(i.port)) }

// Conn is a superuser's connection to the named database, closed with the test.
func (i *Instance) Conn(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), i.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// name makes a test's name fit for application_name.
func name(t testing.TB) string {
	n := strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '_'
		}
		return r
	}, t.Name())
	return n[:min(len(n), 63)]
}

// unbounded are the calls without a deadline that the code under test made.
type unbounded struct {
	mu    sync.Mutex
	calls []string
}

// note excuses what a test calls, directly or through the code under test:
// the test's own context has no deadline. What runs in the background, or for
// a request, has none of the test's functions on its stack.
func (u *unbounded) note(call string, stack []runtime.Frame) (excused bool) {
	var trace strings.Builder
	for _, frame := range stack {
		if strings.HasSuffix(frame.File, "_test.go") || ofTests(frame.Function) {
			return true
		}
		fmt.Fprintf(&trace, "\n\t%s %s:%d", frame.Function, frame.File, frame.Line)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.calls) < 5 {
		u.calls = append(u.calls, call+trace.String())
	}
	return false
}

// ofTests tells whether a function is of a package for tests, such as pgtest.
func ofTests(function string) bool {
	pkg, _, _ := strings.Cut(path.Base(function), ".")
	return strings.HasSuffix(pkg, "test")
}

func (u *unbounded) judge(t testing.TB) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, call := range u.calls {
		t.Errorf("a call to the database has no deadline: %s", call)
	}
}
