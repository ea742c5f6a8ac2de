//go:build bench

package cut_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	benchCuts    = 200
	benchWorkers = 8
)

// load runs transactions until ctx ends, each worker one every so often (0: one after the other), and returns how many.
func (s *shop) load(ctx context.Context, every time.Duration) (done int64) {
	before := s.next.Load()
	var working sync.WaitGroup
	for range benchWorkers {
		working.Go(func() {
			for ctx.Err() == nil {
				next := time.After(every)
				if err := s.transact(context.WithoutCancel(ctx), false); err != nil {
					s.Error(err)
					return
				}
				<-next
			}
		})
	}
	working.Wait()
	return s.next.Load() - before
}

// TestBenchCut measures for how long decisions are held back, at half the rate of transactions that there can be.
func TestBenchCut(t *testing.T) {
	s := newShop(t)
	const saturated = 5 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), saturated)
	rate := float64(s.load(ctx, 0)) / saturated.Seconds()
	cancel()
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	var loading sync.WaitGroup
	loading.Go(func() { s.load(ctx, time.Duration(float64(time.Second)*benchWorkers/(rate/2))) })
	held := make([]time.Duration, benchCuts)
	for i := range held {
		c := s.open()
		held[i] = c.Held
		s.close(c)
	}
	cancel()
	loading.Wait()
	slices.Sort(held)
	p50, p99 := held[benchCuts/2], held[benchCuts*99/100]
	t.Logf("%d cuts at %.0f transactions a second: decisions held back for %s (p50), %s (p99), %s at most", benchCuts, rate/2, p50, p99, held[benchCuts-1])
	fmt.Printf("figure cut_hold_p50_ms %.0f\nfigure cut_hold_p99_ms %.0f\n", p50.Seconds()*1000, p99.Seconds()*1000)
}
