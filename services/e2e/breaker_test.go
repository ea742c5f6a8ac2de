//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// threshold is how many reroutes of failed calls open a circuit; openFor is for how long at most.
const (
	threshold = 3
	openFor   = 10 * time.Second
)

// opened is how often circuits to a service have been opened, by all gateways.
func opened(t *testing.T, destination string) (times float64) {
	t.Helper()
	all, err := cluster.Measured(t.Context(), t, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		times += s.Sum("circuit_opened_total", fmt.Sprintf("destination=%q", destination))
	}
	return times
}

// requireOpens sends requests until every gateway answers that its circuit is open, which is after
// as many failures as reroutes take to come to the threshold, each with one at least.
func requireOpens(t *testing.T, c *shoptest.Client, path string) {
	t.Helper()
	open, failed := map[string]bool{}, map[string]int{}
	shoptest.Eventually(t, 30*time.Second, "both gateways open the circuit", func(context.Context) error {
		for range 4 * threshold {
			a := c.Do(t, shoptest.Call{Method: http.MethodGet, Path: path})
			gateway := a.Header.Get("X-Served-By")
			switch {
			case a.Status != 503 && a.Status != 504:
				t.Fatalf("GET %s with nobody to answer it: %v", path, a)
			case a.Problem().Code == "circuit_open":
				open[gateway] = true
			case !open[gateway]:
				failed[gateway]++
			}
		}
		if len(open) != 2 {
			return fmt.Errorf("of %v open are %v", failed, open)
		}
		return nil
	})
	for gateway, n := range failed {
		if n > threshold {
			t.Errorf("gateway %s opened its circuit after %d failures, the threshold is %d", gateway, n, threshold)
		}
	}
	t.Logf("failures before the circuits opened: %v", failed)
}

// requireShort: while a circuit is open its calls are answered at once, with Retry-After.
func requireShort(t *testing.T, c *shoptest.Client, path, route string) {
	t.Helper()
	const requests = 300
	before := quick(t, route)
	for range requests {
		a := c.Do(t, shoptest.Call{Method: http.MethodGet, Path: path})
		// What the gateway answers by itself, and a trial in the words of who failed.
		if code := a.Problem().Code; a.Status != 503 || (code != "circuit_open" && code != "unavailable") {
			t.Fatalf("while its circuit is open, GET %s: %v", path, a)
		}
		after, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || after < 1 || time.Duration(after)*time.Second > openFor {
			t.Fatalf("Retry-After %q of %v", a.Header.Get("Retry-After"), a)
		}
	}
	now := quick(t, route)
	if all, soon := now.all-before.all, now.soon-before.soon; all < requests || soon < 0.97*all { // trials take longer: a few in each gateway
		t.Errorf("of %.0f answers the handlers gave %.0f within 5 ms", all, soon)
	} else {
		t.Logf("of %.0f answers the handlers gave %.0f within 5 ms", all, soon)
	}
}

// answers of a route: all, and those that took 5 ms at most.
type answers struct{ all, soon float64 }

func quick(t *testing.T, route string) (a answers) {
	t.Helper()
	all, err := cluster.Measured(t.Context(), t, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	label := fmt.Sprintf("route=%q", route)
	for _, s := range all {
		a.all += s.Sum("http_request_duration_seconds_count", label)
		a.soon += s.Sum("http_request_duration_seconds_bucket", label, `le="0.005"`)
	}
	return a
}

// requireCloses: with instances to answer, circuits close by themselves.
func requireCloses(t *testing.T, c *shoptest.Client, service, path string) {
	t.Helper()
	scale(t.Context(), t, service, 2)
	cluster.WaitHealthy(t, 2, service)
	healed := time.Now()
	shoptest.Eventually(t, openFor+20*time.Second, "the circuits to "+service+" close", func(ctx context.Context) error {
		for range 10 {
			if a := c.Do(t, shoptest.Call{Method: http.MethodGet, Path: path}); a.Status != http.StatusOK {
				return fmt.Errorf("GET %s: %v", path, a)
			}
		}
		all, err := cluster.Measured(ctx, t, "gateway")
		for id, s := range all {
			if state := s.Sum("circuit_state", fmt.Sprintf("destination=%q", service)); state != 0 {
				return fmt.Errorf("it is %v at %s", state, id)
			}
		}
		return err
	})
	t.Logf("closed %.1f s after both instances were healthy", time.Since(healed).Seconds())
	cluster.WaitDeployed(t, service)
}

// gone takes every instance of a service away.
func gone(t *testing.T, service string) {
	t.Helper()
	cluster.WaitDeployed(t, service)
	scaleDuring(t, service, 0, 2)
	cluster.WaitHealthy(t, 0, service)
	cluster.WaitRunning(t, service, 0)
}

// With all instances of a service gone, calls to it fail at once after the first few, what was
// read before is answered still, and the other service's customers notice nothing.
func TestBothInstancesGone(t *testing.T) {
	t.Run("books", booksGone)
	t.Run("orders", ordersGone)
}

func booksGone(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	c := shoptest.Shop(t)
	known, changed, unread := c.AddBook(t, "Known", 5), c.AddBook(t, "Changed", 5), c.AddBook(t, "Unread", 5)
	var made shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy("bulkhead", uuid.NewString(), shoptest.OrderItem{BookID: unread.ID, Quantity: 1}), &made)
	paths := map[int64]string{}
	for _, b := range []shoptest.Book{known, changed, unread} {
		paths[b.ID] = fmt.Sprintf("/books/%d", b.ID)
	}
	c.GetBook(t, known.ID)
	was := c.GetBook(t, changed.ID)
	// From now on what the cache has of this book is not to be answered, but for want of better.
	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: paths[changed.ID] + "/stock", Body: map[string]int{"delta": 2}}, nil)
	others := shoptest.StartReads(t, 20, "/orders/"+made.ID)

	gone(t, "books")
	requireOpens(t, c, paths[unread.ID]+"/availability")
	requireShort(t, c, paths[unread.ID]+"/availability", "/books/:id/availability")
	var is shoptest.Book
	a := c.Want(t, http.StatusOK, shoptest.Call{Method: http.MethodGet, Path: paths[changed.ID]}, &is)
	if a.Header.Get("X-Cache") != "stale" || a.Header.Get("Age") == "" || is.StockVersion != was.StockVersion {
		t.Errorf("of a book that was read before it changed: %v with %v", a, a.Header)
	}
	if a = c.Want(t, http.StatusOK, shoptest.Call{Method: http.MethodGet, Path: paths[known.ID]}, nil); a.Header.Get("X-Cache") == "miss" {
		t.Errorf("of a book that was read before: %v with %v", a, a.Header)
	}
	a = c.Do(t, shoptest.Call{Method: http.MethodGet, Path: paths[unread.ID]})
	if requireProblem(t, a, 503, "circuit_open"); a.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After in %v", a.Header)
	}

	requireCloses(t, c, "books", paths[unread.ID]+"/availability")
	if is = c.GetBook(t, changed.ID); is.StockVersion != was.StockVersion+1 || is.Quantity != was.Quantity+2 {
		t.Errorf("after all is well the book is %+v, it was %+v before its stock changed", is, was)
	}
	others.Finish()
	others.RequireFailures(t, 0)
}

func ordersGone(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Without orders", 5)
	var made shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy("bulkhead", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1}), &made)
	cluster.RequireNothingInDoubt(t)
	others := shoptest.StartReads(t, 20, fmt.Sprintf("/books/%d/availability", b.ID))

	gone(t, "orders")
	requireOpens(t, c, "/orders/"+made.ID)
	requireShort(t, c, "/orders/"+made.ID, "/orders/:id")
	c.GetBook(t, b.ID)
	requireCloses(t, c, "orders", "/orders/"+made.ID)
	others.Finish()
	others.RequireFailures(t, 0)
}
