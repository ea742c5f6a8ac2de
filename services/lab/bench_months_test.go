//go:build bench

package lab_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/lab"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg/pgtest"
)

// rates are the rows a second that come for each cleaner in a shop with 20 orders/s, one in twenty refused, and 10 checkouts/s. Each row
// that is deleted of a tracked table leaves a tombstone for the warehouse; a checkout has five events.
var rates = map[string]map[string]float64{
	lab.BookDB:        {"branch_markers": 20, "branch_tombstones": 1, "step_markers": 10, "idempotency_keys": 1, "warehouse_gone": 31},
	lab.OrderDB:       {"branch_markers": 20, "branch_tombstones": 1, "step_markers": 10, "warehouse_gone": 31},
	lab.PaymentDB:     {"step_markers": 20, "provider_attempts": 20, "warehouse_gone": 20},
	lab.CoordinatorDB: {"transactions": 20, "sagas": 10, "warehouse_gone": 80},
}

const (
	rush    = 5 // times the rates, while cleaners work
	backlog = time.Hour

	tombstones = "warehouse_gone"
)

// TestMonths makes what a year leaves in the four databases: everything that is kept, MONTHS_SCALE of it, and an hour in which nothing was
// deleted. Then rows come at five times the rate, already old enough to go, and the cleaners of all databases work at once.
func TestMonths(t *testing.T) {
	scale := number(t, "MONTHS_SCALE", 0.02)
	during := time.Duration(number(t, "MONTHS_SECONDS", 60)) * time.Second
	server := pgtest.Start(t, pgtest.Options{Settings: append(postgres, "autovacuum_naptime=10s", "jit=off")})
	traced := &slowest{}
	var filling, working sync.WaitGroup
	bases := map[string]*months{}
	began := time.Now()
	for name, d := range databases() {
		m := &months{t: t, name: name, dsn: server.DSN(t, d.migrations), jobs: d.cleaners, removed: map[string]int64{}}
		bases[name] = m
		filling.Go(func() { m.fill(scale, during) })
	}
	filling.Wait()
	if t.Failed() {
		return
	}
	t.Logf("filled in %s", time.Since(began).Round(time.Second))
	for _, m := range bases {
		working.Go(func() { m.clean(traced, during) })
	}
	working.Wait()
	headroom, worst := 0.0, ""
	for name, m := range bases {
		for _, j := range m.jobs {
			ratio := float64(m.removed[j.Name]) / m.took.Seconds() / rates[name][j.Name]
			fmt.Printf("%-14s %-18s %9d rows in %5.1f s, %5.1f times the rate at which they come\n", name, j.Name, m.removed[j.Name], m.took.Seconds(), ratio)
			if worst == "" || ratio < headroom {
				headroom, worst = ratio, name+"."+j.Name
			}
		}
	}
	t.Logf("the slowest is %s; %d statements", worst, traced.count)
	figure("cleaner_headroom_ratio", "%.1f", headroom)
	figure("cleaner_slowest_statement_ms", "%.0f", float64(traced.longest)/float64(time.Millisecond))
	if headroom < rush || traced.longest >= time.Second {
		t.Errorf("headroom %.1f, the slowest statement took %s", headroom, traced.longest)
	}
}

func number(t *testing.T, name string, otherwise float64) float64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		t.Fatalf("%s: %q is not a positive number", name, text)
	}
	return n
}

// months is one database.
type months struct {
	t       *testing.T
	name    string
	dsn     string
	jobs    []clean.Job
	took    time.Duration
	removed map[string]int64
}

func (m *months) connect() *pgx.Conn {
	conn, err := pgx.Connect(context.Background(), m.dsn)
	if err != nil {
		m.t.Error(err)
		return nil
	}
	return conn
}

// fill makes what is kept at these rates, scaled, and the backlog, which is not. Tombstones come in the order of time and are looked for
// by it: what comes of them at five times the rate has to be there before those that the cleaners make.
func (m *months) fill(scale float64, during time.Duration) {
	ctx, conn := context.Background(), m.connect()
	if conn == nil {
		return
	}
	defer conn.Close(ctx)
	for _, j := range m.jobs {
		rate := rates[m.name][j.Name]
		kept, waiting := int(rate*j.Keep.Seconds()*scale), int(rate*backlog.Seconds())
		if j.Name == tombstones {
			waiting += int(rush * rate * during.Seconds())
		}
		for _, part := range []struct {
			rows       int
			begin, end time.Duration
		}{{waiting, j.Keep + backlog + time.Minute, j.Keep + time.Minute}, {kept, j.Keep, 0}} {
			if part.rows == 0 {
				continue
			}
			if _, err := conn.Exec(ctx, fillSQL(j.Name), part.rows, part.begin, part.end); err != nil {
				m.t.Error(m.name, j.Name, err)
				return
			}
		}
	}
	if _, err := conn.Exec(ctx, "vacuum analyze"); err != nil {
		m.t.Error(err)
	}
}

// clean runs a database's cleaner until it has caught up, after rows have come at five times the rate for a time.
func (m *months) clean(traced *slowest, during time.Duration) {
	ctx, conn := context.Background(), m.connect()
	if conn == nil {
		return
	}
	defer conn.Close(ctx)
	cfg, err := pgxpool.ParseConfig(m.dsn + "&statement_timeout=5s&lock_timeout=500ms")
	if err != nil {
		m.t.Error(err)
		return
	}
	cfg.ConnConfig.Tracer = traced
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer pool.Close()
	came := m.came(ctx, conn)
	cleaner := clean.New(pool, slog.New(slog.DiscardHandler), nil, m.jobs...)
	feeding, stop := context.WithTimeout(ctx, during)
	defer stop()
	began := time.Now()
	var feed sync.WaitGroup
	feed.Go(func() { m.feed(feeding, conn) })
	for feeding.Err() == nil {
		if err := cleaner.Round(ctx); err != nil {
			m.t.Error(m.name, err)
		}
		select {
		case <-time.After(time.Second):
		case <-feeding.Done():
		}
	}
	feed.Wait()
	if err := cleaner.Round(ctx); err != nil {
		m.t.Error(m.name, err)
	}
	m.took = time.Since(began)
	for name, before := range came {
		m.removed[name] += before
	}
	for name, left := range m.came(ctx, conn) {
		m.removed[name] -= left
		if left > 0 {
			m.t.Errorf("%s: %d rows of %s are left", m.name, left, name)
		}
	}
}

// feed makes old rows come at five times the rate.
func (m *months) feed(ctx context.Context, conn *pgx.Conn) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, j := range m.jobs {
			if j.Name == tombstones {
				continue
			}
			rows := int(rush * rates[m.name][j.Name])
			if _, err := conn.Exec(context.WithoutCancel(ctx), fillSQL(j.Name), rows, j.Keep+2*time.Minute, j.Keep+time.Minute); err != nil {
				m.t.Error(m.name, j.Name, err)
				return
			}
			m.removed[j.Name] += int64(rows)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due is where rows wait that are old enough to go, as everything was when it was filled.
var due = map[string]string{
	"transactions":      "transactions where created_at < now() - $1::interval",
	"sagas":             "sagas where finished_at < now() - $1::interval",
	"warehouse_gone":    "warehouse_gone where gone_at < now() - $1::interval",
	"branch_markers":    "branch_markers where state = 'prepared' and created_at < now() - $1::interval",
	"branch_tombstones": "branch_markers where state = 'aborted' and created_at < now() - $1::interval and deadline < now() - $1::interval",
	"step_markers":      "step_markers where created_at < now() - $1::interval",
	"idempotency_keys":  "idempotency_keys where expires_at < now() - $1::interval",
	"provider_attempts": "provider_attempts where updated_at < now() - $1::interval",
}

// came counts the rows that wait to be deleted, but for those that have become old enough only within the last minute.
func (m *months) came(ctx context.Context, conn *pgx.Conn) map[string]int64 {
	counts := map[string]int64{}
	for _, j := range m.jobs {
		var n int64
		if err := conn.QueryRow(ctx, "select count(*) from "+due[j.Name], j.Keep+time.Minute).Scan(&n); err != nil {
			m.t.Error(m.name, j.Name, err)
		}
		counts[j.Name] = n
	}
	return counts
}

// slowest keeps the longest of the cleaners' statements, their commits included.
type slowest struct {
	mu      sync.Mutex
	longest time.Duration
	count   int
}

type startedAt struct{}

func (s *slowest) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (s *slowest) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *slowest) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return context.WithValue(ctx, startedAt{}, time.Now())
}

func (s *slowest) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (s *slowest) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) {
	began, ok := ctx.Value(startedAt{}).(time.Time)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		s.longest, s.count = max(s.longest, time.Since(began)), s.count+1
	}
}
