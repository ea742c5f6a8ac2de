// Package lab runs the shop's real processes for tests: a PostgreSQL of their
// own, the services as `go build` makes them, HTTP between them, no mesh and no
// containers. A test kills, freezes and restarts them, puts a proxy on any
// connection between two of them, and checks at the end that the shop's
// equations hold.
package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/pg/pgtest"
)

// Service is a process of the shop.
type Service string

// The services. Coordinator2 is a second coordinator, which runs only where
// Options ask for it and which participants don't know of.
const (
	Books        Service = "books"
	Orders       Service = "orders"
	Payments     Service = "payments"
	Coordinator  Service = "coordinator"
	Coordinator2 Service = "coordinator2"
)

// The databases.
const (
	BookDB        = "bookdb"
	OrderDB       = "orderdb"
	PaymentDB     = "paymentdb"
	CoordinatorDB = "coordinatordb"
)

// Link is a connection: a service and what it calls, which is a database or
// another service by name.
type Link struct {
	From Service
	To   string
}

// Options shape a shop. The zero value runs each service once.
type Options struct {
	Services []Service // which run; all but Coordinator2 when empty
	Postgres pgtest.Options
	Apart    bool // orderdb is on a server of its own
	Race     bool // build with the race detector; a race that it finds fails the test
	Pprof    bool // serve profiles at Shop.Pprof
	Books    int  // how many to seed: ids from 1 on, Price each
	Stock    int64
	// Via is called with each link and its target (host:port) before any process
	// starts, and returns the address that the caller gets instead: of a proxy of
	// the test's. Without it, or with the same address, the caller connects directly.
	Via func(l Link, target string) string
	Env map[Service]map[string]string // more environment
	// Sources are Go files that are built into the programs beside what is
	// there, by their path in the module: what a test needs and a shop must not
	// have.
	Sources map[string]string
}

// Shop is a running shop. Its methods may be called from any goroutine.
type Shop struct {
	t       testing.TB
	options Options
	dir     string // of the logs
	bin     string // of the programs
	servers map[string]*pgtest.Instance
	nodes   map[Service]*node

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool
}

// readyTimeout is what a shop may take to start on a busy machine.
const readyTimeout = time.Minute

// Start runs a shop and returns when all of it is ready. It ends with the test,
// which fails if a service panicked or found a race.
func Start(t testing.TB, o Options) *Shop {
	t.Helper()
	if len(o.Services) == 0 {
		o.Services = []Service{Books, Orders, Payments, Coordinator}
	}
	bin, err := programs(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &Shop{
		t: t, options: o, bin: bin, dir: t.TempDir(),
		servers: map[string]*pgtest.Instance{}, nodes: map[Service]*node{}, pools: map[string]*pgxpool.Pool{},
	}
	s.startDatabases()
	t.Cleanup(s.close)
	if err := s.seed(o.Books, o.Stock); err != nil {
		t.Fatal(err)
	}
	if err := s.plan(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	for _, name := range o.Services {
		if err := s.Restart(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// close ends everything and fails the test for what the logs show.
func (s *Shop) close() {
	for name, n := range s.nodes {
		n.kill()
		log := s.Log(name)
		for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
			if at := position(log, sign); at >= 0 {
				s.t.Errorf("%s: %s", name, log[at:min(len(log), at+4000)])
			}
		}
		if s.t.Failed() {
			s.t.Logf("the end of the log of %s:\n%s", name, log[max(0, len(log)-4000):])
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pool := range s.pools {
		pool.Close()
	}
}

// URL is where a service answers; a restart keeps it.
func (s *Shop) URL(name Service) string { return "http://" + s.nodes[name].addr }

// Pprof is where a service started with Options.Pprof serves its profiles.
func (s *Shop) Pprof(name Service) string { return "http://" + s.nodes[name].pprof }

// Log is all that a service has logged so far, in all its processes.
func (s *Shop) Log(name Service) string {
	text, err := os.ReadFile(s.logFile(name))
	if err != nil {
		return ""
	}
	return string(text)
}

func (s *Shop) logFile(name Service) string { return filepath.Join(s.dir, string(name)+".log") }

// Server is the PostgreSQL that a database is on.
func (s *Shop) Server(database string) *pgtest.Instance { return s.servers[database] }

// DSN is the superuser's connection string of a database, past all proxies.
func (s *Shop) DSN(database string) string { return s.servers[database].URL(database) }

// DB is a superuser's pool of a database, past all proxies.
func (s *Shop) DB(database string) *pgxpool.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pool, ok := s.pools[database]; ok {
		return pool
	}
	pool, err := pgxpool.New(context.Background(), s.DSN(database))
	if err != nil {
		panic(fmt.Sprintf("lab: a connection string of its own: %v", err))
	}
	s.pools[database] = pool
	return pool
}
