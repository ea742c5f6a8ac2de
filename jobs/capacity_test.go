//go:build bench

package jobs_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// The sizes of the benchmark: so few customers that nothing is refused, so long that a collector's runs are in it.
const (
	capacityClients = 8
	capacitySpan    = 15 * time.Second
	capacityBooks   = 64
	capacitySettle  = 2 * time.Second // the sagas of the last checkouts go on for as long
)

// TestCapacity measures the processor time that each part of the running shop spends on one request of each kind, in
// microseconds, beyond what it spends without any. jobs/README.md has the arithmetic that goes on from there.
func TestCapacity(t *testing.T) {
	staff, customer := shoptest.Shop(t), shoptest.NewClient(t, shoptest.Token(t, "BENCH_TOKEN"))
	customer.Check = nil // its time is to be the shop's
	var books []int64
	for i := range capacityBooks {
		books = append(books, staff.AddBook(t, fmt.Sprintf("Capacity %d", i), 1_000_000).ID)
	}
	one := func() shoptest.OrderItem {
		return shoptest.OrderItem{BookID: books[rand.IntN(len(books))], Quantity: 1}
	}
	get := func(path string) shoptest.Call { return shoptest.Call{Method: http.MethodGet, Path: path} }
	kinds := []struct {
		name string
		want int
		call func() shoptest.Call
	}{
		{"book", http.StatusOK, func() shoptest.Call { return get(fmt.Sprintf("/books/%d", one().BookID)) }},
		{"availability", http.StatusOK, func() shoptest.Call { return get(fmt.Sprintf("/books/%d/availability", one().BookID)) }},
		{"list", http.StatusOK, func() shoptest.Call { return get("/books?limit=20") }},
		{"search", http.StatusOK, func() shoptest.Call { return get("/books?q=capacity&limit=20") }},
		{"order", http.StatusCreated, func() shoptest.Call { return shoptest.Buy("capacity", uuid.NewString(), one()) }},
		{"checkout", http.StatusAccepted, func() shoptest.Call {
			return shoptest.StartCheckout("capacity", uuid.NewString(), "tok_ok", false, one())
		}},
	}
	groups := containers(t)
	idle, _ := costs(t, groups, func() int64 { time.Sleep(capacitySpan); return 1 })
	fmt.Fprintf(os.Stdout, "%-13s %8s %9s  %s\n", "REQUEST", "PER S", "µs EACH", "OF THEM")
	for _, kind := range kinds {
		var each float64
		spent, elapsed := costs(t, groups, func() int64 { return buying(t, customer, kind.want, kind.call) })
		count := spent.requests
		var parts []string
		share := map[string]float64{}
		for part, used := range spent.parts {
			micros := (used.Seconds() - idle.parts[part].Seconds()*elapsed.Seconds()/capacitySpan.Seconds()) * 1e6 / float64(count)
			share[part], each = micros, each+micros
		}
		for _, part := range slices.SortedFunc(maps.Keys(share), func(a, b string) int { return int(share[b] - share[a]) }) {
			if share[part] >= each/100 {
				parts = append(parts, fmt.Sprintf("%s %.0f", part, share[part]))
			}
		}
		fmt.Fprintf(os.Stdout, "%-13s %8.0f %9.0f  %s\n", kind.name, float64(count)/elapsed.Seconds(), each, strings.Join(parts, ", "))
		fmt.Fprintf(os.Stdout, "figure capacity_%s_us %.0f\n", kind.name, each)
	}
}

// cost is what a number of requests took of each part.
type cost struct {
	parts    map[string]time.Duration
	requests int64
}

// costs is what the parts spend while something is done, which returns how often it did it.
func costs(t *testing.T, groups map[string]string, do func() int64) (cost, time.Duration) {
	t.Helper()
	began, before := time.Now(), spent(t, groups)
	c := cost{parts: map[string]time.Duration{}, requests: do()}
	elapsed, after := time.Since(began), spent(t, groups)
	for who, used := range after {
		if then, ok := before[who]; ok { // what has come or gone meanwhile does not count
			c.parts[who.part] += used - then
		}
	}
	return c, elapsed
}

// buying has customers make one request after the other, and then waits until what these began in the background is done.
func buying(t *testing.T, c *shoptest.Client, want int, call func() shoptest.Call) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), capacitySpan)
	defer cancel()
	var done, wrong atomic.Int64
	var clients sync.WaitGroup
	for range capacityClients {
		clients.Go(func() {
			for ctx.Err() == nil {
				a, err := c.Try(t.Context(), call())
				switch {
				case err == nil && a.Status == want:
					done.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	clients.Wait()
	if wrong.Load() > done.Load()/100 {
		t.Fatalf("%d of %d requests were not answered with %d", wrong.Load(), wrong.Load()+done.Load(), want)
	}
	time.Sleep(capacitySettle)
	return done.Load()
}
