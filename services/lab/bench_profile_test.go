//go:build bench

package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/lab"
	"bookstore/services/platform/pg/pgtest"
)

// TestProfile shows what the time of a 2PC order goes to: the processor time of
// each process per order, what the database's sessions wait for, how much is
// written. With PROFILES set to a directory it puts there what pprof saw.
func TestProfile(t *testing.T) {
	s := lab.Start(t, lab.Options{
		Postgres: pgtest.Options{Fsync: true, Settings: postgres}, Books: bookCount, Stock: 1_000_000,
		Pprof:   os.Getenv("PROFILES") != "",
		Sources: map[string]string{"services/checkout/purchase.go": purchase},
	})
	copyDatabases(t, s)
	direct := newBuyer(strings.TrimPrefix(s.URL(lab.Coordinator), "http://"), "")
	defer direct.http.CloseIdleConnections()
	local := newBaseline(t, s, listen(t, s), most)
	kinds := []contender{
		{&tally{name: "in a single database"}, local.single(most)},
		{&tally{name: "local transactions"}, local.clients(most)},
		{&tally{name: "2PC orders"}, direct.clients(most, anyBook)},
		{&tally{name: "sagas of two steps"}, followSagas(t, s).clients(most, direct)},
		{&tally{name: "2PC, one hot book"}, direct.clients(most, func() int { return 1 })},
	}
	for _, k := range kinds {
		(&tally{name: "warm-up"}).slice(t, warmUp, k.clients)
		before, flushes := processorTimes(t, s), wal(t, s)
		stop := watchWaits(t, s)
		profiled := fetchProfiles(t, s, k.tally.name)
		k.tally.slice(t, 10*time.Second, k.clients)
		waits := stop()
		profiled.Wait()
		after, orders := processorTimes(t, s), float64(len(k.tally.each))
		fmt.Printf("  p50 %.1f ms, p99 %.1f ms\n  processor, ms for each:", milliseconds(k.tally.quantile(.5)), milliseconds(k.tally.quantile(.99)))
		for _, name := range slices.Sorted(maps.Keys(after)) {
			fmt.Printf(" %s %.3f", name, float64((after[name]-before[name]).Microseconds())/1000/orders)
		}
		now := wal(t, s)
		fmt.Printf("\n  WAL for each: %.2f flushes, %.0f bytes\n  sessions, on average: %s\n", (now[0]-flushes[0])/orders, (now[1]-flushes[1])/orders, waits)
	}
}

// processorTimes are what each process has used so far; PostgreSQL is all of
// its own together.
func processorTimes(t *testing.T, s *lab.Shop) map[string]time.Duration {
	t.Helper()
	used := map[string]time.Duration{"(client)": processorTime("self")}
	for _, name := range []lab.Service{lab.Books, lab.Orders, lab.Payments, lab.Coordinator} {
		used[string(name)] = processorTime(strconv.Itoa(s.PID(name)))
	}
	var file string
	if err := s.DB(lab.BookDB).QueryRow(t.Context(), "select pg_read_file('postmaster.pid')").Scan(&file); err != nil {
		t.Fatal(err)
	}
	postmaster, _, _ := strings.Cut(file, "\n")
	tasks, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, task := range tasks {
		if pid := filepath.Base(filepath.Dir(task)); pid == postmaster || parent(pid) == postmaster {
			used["postgres"] += processorTime(pid)
		}
	}
	return used
}

// stat are the fields of a process from its state on; see proc(5).
func stat(pid string) []string {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return make([]string, 20)
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func parent(pid string) string { return stat(pid)[1] }

func processorTime(pid string) time.Duration {
	const tick = 10 * time.Millisecond
	fields := stat(pid)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// wal is how often the log was flushed so far, and how long it is.
func wal(t *testing.T, s *lab.Shop) (n [2]float64) {
	t.Helper()
	err := s.DB(lab.BookDB).QueryRow(t.Context(), "select wal_sync::float8, wal_bytes::float8 from pg_stat_wal").Scan(&n[0], &n[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// watchWaits samples what sessions wait for. stop tells how many did, on
// average, by what.
func watchWaits(t *testing.T, s *lab.Shop) (stop func() string) {
	t.Helper()
	conn := s.Server(lab.BookDB).Conn(t, "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	seen, samples := map[string]float64{}, 0.0
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			rows, err := conn.Query(context.Background(), `select datname || ' ' || coalesce(wait_event, 'running'), count(*)::float8 from pg_stat_activity
				where state in ('active', 'idle in transaction') and pid <> pg_backend_pid() and datname is not null group by 1`)
			var what string
			var n float64
			if err == nil {
				_, err = pgx.ForEachRow(rows, []any{&what, &n}, func() error { seen[what] += n; return nil })
			}
			if err != nil {
				t.Errorf("watch sessions: %v", err)
				return
			}
			samples++
		}
	})
	return func() string {
		cancel()
		watching.Wait()
		var lines []string
		for _, what := range slices.SortedFunc(maps.Keys(seen), func(a, b string) int { return int(100*seen[b]) - int(100*seen[a]) }) {
			lines = append(lines, fmt.Sprintf("%s %.2f", what, seen[what]/samples))
		}
		return strings.Join(lines, ", ")
	}
}

func fetchProfiles(t *testing.T, s *lab.Shop, kind string) *sync.WaitGroup {
	t.Helper()
	var fetching sync.WaitGroup
	dir := os.Getenv("PROFILES")
	if dir == "" {
		return &fetching
	}
	for _, name := range []lab.Service{lab.Books, lab.Orders, lab.Coordinator} {
		fetching.Go(func() {
			response, err := http.Get(s.Pprof(name) + "/debug/pprof/profile?seconds=8")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			profile, err := io.ReadAll(response.Body)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(kind, " ", "_")+"-"+string(name)+".pprof"), profile, 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	return &fetching
}
