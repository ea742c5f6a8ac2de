//go:build bench

package lab_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
