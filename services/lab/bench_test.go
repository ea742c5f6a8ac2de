//go:build bench

package lab_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/lab"
	"bookstore/services/shoptest"
)

// figures are the lines that a run ends with.
var figures []string

func figure(name, format string, value any) {
	figures = append(figures, "figure "+name+" "+fmt.Sprintf(format, value))
}

func TestMain(m *testing.M) {
	code := m.Run()
	lab.Sweep()
	for _, line := range figures {
		fmt.Println(line)
	}
	os.Exit(code)
}

// work does one thing for one client, from start to end. Each client has its own.
type work func(ctx context.Context) error

// tally adds up the slices in which one kind of work was measured.
type tally struct {
	name    string
	clients int
	took    time.Duration
	each    []time.Duration // sorted by quantile
}

func (y *tally) rate() float64 { return float64(len(y.each)) / y.took.Seconds() }

// quantile is the time within which this share was done.
func (y *tally) quantile(share float64) time.Duration {
	if len(y.each) == 0 {
		return 0
	}
	slices.Sort(y.each)
	return y.each[min(len(y.each)-1, int(share*float64(len(y.each))))]
}

// slice lets the clients work side by side for a while, each beginning anew as
// soon as it is done. What is begun is ended and counted, with the time that
// it took. Work that fails ends the test: a fast error is no order.
func (y *tally) slice(t *testing.T, length time.Duration, clients []work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length+30*time.Second)
	defer cancel()
	var failure atomic.Pointer[error]
	times := make([][]time.Duration, len(clients))
	began := time.Now()
	var working sync.WaitGroup
	for i, do := range clients {
		working.Go(func() {
			for time.Since(began) < length && failure.Load() == nil {
				start := time.Now()
				if err := do(ctx); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				times[i] = append(times[i], time.Since(start))
			}
		})
	}
	working.Wait()
	took := time.Since(began)
	if err := failure.Load(); err != nil {
		t.Fatalf("%s, %d clients: %v", y.name, len(clients), *err)
	}
	done := 0
	for _, of := range times {
		y.each, done = append(y.each, of...), done+len(of)
	}
	y.took += took
	fmt.Printf("  %-22s %2d clients  %7.0f/s\n", y.name, len(clients), float64(done)/took.Seconds())
}

// report is the table.
type report struct {
	rows    []*tally
	against map[*tally]*tally
}

func (r *report) row(name string, clients int) *tally {
	row := &tally{name: name, clients: clients}
	r.rows = append(r.rows, row)
	return row
}

func (r *report) compare(row, base *tally) {
	if r.against == nil {
		r.against = map[*tally]*tally{}
	}
	r.against[row] = base
}

func (r *report) find(name string, clients int) *tally {
	for _, row := range r.rows {
		if row.name == name && row.clients == clients {
			return row
		}
	}
	return &tally{}
}

func (r *report) ratio(name string, clients int) float64 {
	row := r.find(name, clients)
	return row.rate() / cmp.Or(r.against[row], &tally{took: time.Second}).rate()
}

func (r *report) print() {
	fmt.Printf("\n| %-22s | clients | per second |   p50 ms |   p99 ms | ratio |\n|%s|--------:|-----------:|---------:|---------:|------:|\n",
		"what", strings.Repeat("-", 24))
	for _, row := range r.rows {
		ratio := ""
		if base, ok := r.against[row]; ok {
			ratio = fmt.Sprintf("%.1f %%", 100*row.rate()/base.rate())
		}
		fmt.Printf("| %-22s | %7d | %10.0f | %8.1f | %8.1f | %5s |\n", row.name, row.clients, row.rate(),
			milliseconds(row.quantile(.5)), milliseconds(row.quantile(.99)), ratio)
	}
	fmt.Println()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// burst begins the work of all clients at once and adds how long each took.
func burst(t *testing.T, y *tally, clients []work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	took, began := make([]time.Duration, len(clients)), time.Now()
	shoptest.Parallel(len(clients), func(i int) {
		start := time.Now()
		if err := clients[i](ctx); err != nil {
			t.Errorf("%s, %d at once: %v", y.name, len(clients), err)
		}
		took[i] = time.Since(start)
	})
	y.each, y.took = append(y.each, took...), y.took+time.Since(began)
}
