package pg_test

import (
	"context"
	"crypto/rand"
	mrand "math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/config"
	"bookstore/services/platform/dial/blackhole"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// calls makes one call of every kind.
var calls = map[string]func(ctx context.Context, pool *pgxpool.Pool) error{
	"query": func(ctx context.Context, pool *pgxpool.Pool) error {
		var n int
		return pool.QueryRow(ctx, "select 1").Scan(&n)
	},
	"exec": func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, "select 1")
		return err
	},
	"begin": func(ctx context.Context, pool *pgxpool.Pool) error {
		return pg.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "select 1")
			return err
		})
	},
	"batch": func(ctx context.Context, pool *pgxpool.Pool) error {
		b := &pgx.Batch{}
		b.Queue("select 1")
		return pool.SendBatch(ctx, b).Close()
	},
	"copy": func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"id", "body"}, pgx.CopyFromRows([][]any{{mrand.Int32(), rand.Text()}}))
		return err
	},
	"prepare": func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			_, err := conn.Conn().Prepare(ctx, rand.Text(), "select 2")
			return err
		})
	},
	"acquire": func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.AcquireFunc(ctx, func(*pgxpool.Conn) error { return nil })
	},
}

// seen collects what a pool reports.
type seen struct {
	mu      sync.Mutex
	callers []string
}

func (s *seen) note(_ string, stack []runtime.Frame) (excused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers = append(s.callers, stack[0].Function)
	return false
}

func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.callers
	s.callers = nil
	return taken
}

func watched(t *testing.T, dsn string) (*pgxpool.Pool, *seen) {
	t.Helper()
	s := &seen{}
	pool, err := pg.Open(t.Context(), pg.Config{DSN: config.Secret(dsn), MaxConns: 2}, "test", nil, pg.OnUnbounded(s.note))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, s
}

func TestEveryCallWithoutABoundIsReported(t *testing.T) {
	t.Parallel()
	pool, reported := watched(t, pgtest.DSN(t, notes))
	for name, call := range calls {
		bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := call(bounded, pool); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if got := reported.take(); len(got) != 0 {
			t.Errorf("%s with a deadline: reported %q", name, got)
		}
		far, cancel := context.WithTimeout(t.Context(), time.Minute)
		for what, ctx := range map[string]context.Context{"without a deadline": t.Context(), "with one that is far away": far} {
			if err := call(ctx, pool); err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
			got := reported.take()
			if len(got) == 0 {
				t.Errorf("%s %s: not reported", name, what)
			}
			for _, caller := range got {
				if !strings.HasPrefix(caller, "bookstore/services/platform/pg_test.") {
					t.Errorf("%s %s: reported for %s", name, what, caller)
				}
			}
		}
		cancel()
	}
}

// A call without a deadline to a server that vanished ends nevertheless, though
// it got its connection before.
func TestACallToAServerThatVanishedEnds(t *testing.T) {
	t.Parallel()
	peer := blackhole.New(t, pgtest.Server(t).Addr())
	dsn := strings.Replace(pgtest.DSN(t, notes), pgtest.Server(t).Addr(), peer.Addr(), 1)
	pools := map[string]*pgxpool.Pool{}
	for name, call := range calls {
		pools[name], _ = watched(t, dsn)
		if err := call(t.Context(), pools[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	peer.Vanish(t)
	var under sync.WaitGroup
	for name, call := range calls {
		under.Go(func() {
			began := time.Now()
			err := call(t.Context(), pools[name])
			if took := time.Since(began); took > 15*time.Second || (err == nil && name != "acquire") { // an idle connection is handed out as it is
				t.Errorf("%s ended after %s with %v", name, took, err)
			}
		})
	}
	under.Wait()
}
