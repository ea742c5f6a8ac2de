//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// The number of requests that are counted, and of clients that send them.
const (
	partitionIDs     = 10_000
	partitionOrders  = 600
	partitionClients = 16
)

// Every book has its gateway, which keeps it near: as many each, and one gateway more takes
// its part and leaves the rest where it is. Orders go to whoever has the least to do.
func TestPartition(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	cluster.WaitDeployed(t, "gateway")
	c := shoptest.Shop(t)
	two := owners(t, c, partitionIDs)
	requireEven(t, "books", two, 2)
	for id, gateway := range owners(t, c, partitionIDs/20) {
		if gateway != two[id] {
			t.Errorf("book %d moved from gateway %s to %s", id, two[id], gateway)
		}
	}
	requireEven(t, "orders", orderTakers(t, c, partitionOrders), 2)

	scaleDuring(t, "gateway", 3, 2)
	cluster.WaitHealthy(t, 3, "gateway")
	// The ingress hears of it a moment after Consul has.
	shoptest.Eventually(t, openFor, "the third gateway has its part", func(context.Context) error {
		if n := len(shares(owners(t, c, partitionIDs/100))); n != 3 {
			return fmt.Errorf("%d gateways answer", n)
		}
		return nil
	})
	three := owners(t, c, partitionIDs)
	requireEven(t, "books", three, 3)
	moved := 0
	for id, gateway := range three {
		if gateway != two[id] {
			moved++
		}
	}
	part := float64(moved) / partitionIDs
	t.Logf("one gateway more moved %.1f %% of the books", 100*part)
	if part > 1.15/3 {
		t.Errorf("%d of %d books moved, more than 1.15/3 of them", moved, partitionIDs)
	}
	cluster.WaitDeployed(t, "gateway")
}

// owners is which gateway answers the read of each book, whether or not there is one.
func owners(t *testing.T, c *shoptest.Client, n int) map[int]string {
	t.Helper()
	return served(t, c, n, func(i int) shoptest.Call {
		return shoptest.Call{Method: http.MethodGet, Path: fmt.Sprintf("/books/%d", i)}
	})
}

// orderTakers is which gateway takes each of n orders.
func orderTakers(t *testing.T, c *shoptest.Client, n int) map[int]string {
	t.Helper()
	var ids []int64
	for i := range partitionClients { // or they wait for one another
		ids = append(ids, c.AddBook(t, fmt.Sprintf("Partition %d", i), int64(n)).ID)
	}
	return served(t, c, n, func(i int) shoptest.Call {
		return shoptest.Buy("partition", "partition-"+uuid.NewString(), shoptest.OrderItem{BookID: ids[i%len(ids)], Quantity: 1})
	})
}

// served makes the calls 1 to n, many at once, and returns which gateway answered each.
func served(t *testing.T, c *shoptest.Client, n int, k func(i int) shoptest.Call) map[int]string {
	t.Helper()
	var mu sync.Mutex
	by, next := map[int]string{}, make(chan int)
	var failed atomic.Bool
	var clients sync.WaitGroup
	for range partitionClients {
		clients.Go(func() {
			for i := range next {
				a, err := c.Try(t.Context(), k(i))
				if err != nil || a.Header.Get("X-Served-By") == "" || a.Status == http.StatusTooManyRequests {
					failed.Store(true)
					t.Errorf("call %d: %v %v", i, a, err)
					continue
				}
				mu.Lock()
				by[i] = a.Header.Get("X-Served-By")
				mu.Unlock()
			}
		})
	}
	for i := 1; i <= n && !failed.Load(); i++ {
		next <- i
	}
	close(next)
	clients.Wait()
	if failed.Load() {
		t.FailNow()
	}
	return by
}

// shares is how many calls each gateway answered.
func shares(by map[int]string) map[string]int {
	n := map[string]int{}
	for _, gateway := range by {
		n[gateway]++
	}
	return n
}

// requireEven: the one with the most has no more than a quarter above the mean.
func requireEven(t *testing.T, what string, by map[int]string, gateways int) {
	t.Helper()
	each, peak := shares(by), 0
	for _, n := range each {
		peak = max(peak, n)
	}
	ratio := float64(peak) * float64(gateways) / float64(len(by))
	t.Logf("%s over %d gateways: %v, peak over mean %.3f", what, gateways, each, ratio)
	if len(each) != gateways || ratio > 1.25 {
		t.Errorf("%s are spread over the gateways as %v: peak over mean is %.3f", what, each, ratio)
	}
}
