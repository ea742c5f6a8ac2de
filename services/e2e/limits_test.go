//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// limited is a path that every gateway serves, and that costs little.
const limited = "/books?limit=1"

// limits are what the shop says of a client's limits.
type limits struct{ rate, burst int }

// anonymous is a client without a token: one of an address.
func anonymous(t *testing.T) (*shoptest.Client, limits) {
	t.Helper()
	c := shoptest.NewClient(t, "")
	var l limits
	a := c.Do(t, shoptest.Call{Method: "GET", Path: limited})
	if _, err := fmt.Sscanf(a.Header.Get("RateLimit-Policy"), "%d;w=1;burst=%d", &l.rate, &l.burst); err != nil {
		t.Fatalf("RateLimit-Policy is %q: %v", a.Header.Get("RateLimit-Policy"), err)
	}
	// What the test used up is there again for the next one.
	t.Cleanup(func() { l.restored(t, c) })
	l.restored(t, c)
	return c, l
}

// restored waits until the client may send at full rate again.
func (l limits) restored(t *testing.T, c *shoptest.Client) {
	late := time.Now().Add(time.Duration(float64(l.burst)/float64(l.rate)*float64(time.Second)) + 30*time.Second)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := c.Try(context.Background(), shoptest.Call{Method: "GET", Path: limited})
		if err == nil && a.Status == http.StatusOK && a.Header.Get("RateLimit-Remaining") == strconv.Itoa(min(l.rate, l.burst)) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("the limit does not recover: %v %v", a, err)
		}
		<-tick.C
	}
}

// flood sends n requests as fast as they are answered, with as many at once as
// no limit minds, and returns how many of them came to what.
func flood(t *testing.T, n int, send func(i int) (int, error)) map[int]int {
	t.Helper()
	var (
		mu     sync.Mutex
		found  = map[int]int{}
		next   atomic.Int64
		flying sync.WaitGroup
	)
	for range 16 {
		flying.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				status, err := send(int(i))
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				}
				mu.Lock()
				found[status]++
				mu.Unlock()
			}
		})
	}
	flying.Wait()
	return found
}

// However a client dresses up, it has the one limit of its address.
func TestAnAddressCannotBeForged(t *testing.T) {
	c, l := anonymous(t)
	begin := time.Now()
	found := flood(t, 2*l.burst+4*l.rate, func(i int) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base+limited, http.NoBody)
		if err != nil {
			return 0, err
		}
		address := fmt.Sprintf("198.51.%d.%d", i>>8, i&255)
		req.Header["X-Client-Address"] = []string{address, "203.0.113." + strconv.Itoa(i&255)}
		req.Header["x-client-address"] = []string{address}
		req.Header.Set("X-Forwarded-For", address)
		req.Header.Set("X-Real-Ip", address)
		req.Header.Set("Forwarded", "for="+address)
		res, err := c.HTTP.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	})
	most := 1.1 * (float64(l.burst) + time.Since(begin).Seconds()*float64(l.rate))
	t.Logf("%v within %.1f s, at most %.0f are to be let in", found, time.Since(begin).Seconds(), most)
	if found[http.StatusTooManyRequests] == 0 || float64(found[http.StatusOK]) > most {
		t.Errorf("a client that names another address each time gets %v", found)
	}
	// Others don't suffer.
	shoptest.Shop(t).Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: limited}, nil)
}

// The gateway sheds load by when the ingress got a request, which a client cannot set.
func TestTheIngressStampsRequests(t *testing.T) {
	const sent = 20
	seen := func() (requests, older float64) {
		all, err := cluster.Measured(t.Context(), t, "gateway")
		if err != nil {
			t.Fatal(err)
		}
		for _, gateway := range all {
			n := gateway.Sum("ingress_wait_seconds_count")
			requests, older = requests+n, older+n-gateway.Sum("ingress_wait_seconds_bucket", `le="10"`)
		}
		return requests, older
	}
	requests, older := seen()
	for range sent {
		shoptest.Shop(t).Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: limited, Header: map[string]string{"X-Request-Start": "t=1"}}, nil)
	}
	requestsNow, olderNow := seen()
	if requestsNow < requests+sent || olderNow != older {
		t.Errorf("of %d requests the gateways know the age of %v, %v are counted as old", sent, requestsNow-requests, olderNow-older)
	}
}

// A refusal says why, until when, and what the limit is.
func TestARefusalStatesTheLimit(t *testing.T) {
	c, l := anonymous(t)
	var refusal atomic.Pointer[shoptest.Answer]
	flood(t, l.burst+4*l.rate, func(int) (int, error) {
		if a := refusal.Load(); a != nil {
			return a.Status, nil
		}
		a, err := c.Try(t.Context(), shoptest.Call{Method: "GET", Path: limited})
		if err != nil {
			return 0, err
		}
		if a.Status == http.StatusTooManyRequests {
			refusal.Store(a)
		}
		return a.Status, nil
	})
	a := refusal.Load()
	if a == nil {
		t.Fatal("nothing was refused")
	}
	requireProblem(t, a, http.StatusTooManyRequests, "rate_limited")
	for name, most := range map[string]int{"RateLimit-Limit": l.rate, "RateLimit-Remaining": 0, "RateLimit-Reset": 5, "Retry-After": 5} {
		if n, err := strconv.Atoi(a.Header.Get(name)); err != nil || n < 0 || n > most {
			t.Errorf("%s is %q", name, a.Header.Get(name))
		}
	}
	if got := a.Header.Get("Retry-After"); got == "0" {
		t.Error("Retry-After is 0")
	}
}

// Whoever tries tokens is limited like one who has none.
func TestGuessingTokensIsLimited(t *testing.T) {
	c, l := anonymous(t)
	found := flood(t, 2*l.burst+4*l.rate, func(i int) (int, error) {
		a, err := c.Try(t.Context(), shoptest.Call{
			Method: "GET", Path: "/transactions", Header: map[string]string{"Authorization": fmt.Sprintf("Bearer guess-%d", i)},
		})
		if err != nil {
			return 0, err
		}
		return a.Status, nil
	})
	if found[http.StatusForbidden] == 0 || found[http.StatusTooManyRequests] == 0 || len(found) > 2 {
		t.Errorf("guesses got %v", found)
	}
}

// A client at twice its rate gets its rate, within a tenth, over all gateways.
func TestTheRateIsExact(t *testing.T) {
	c, l := anonymous(t)
	offer := func(during time.Duration) (admitted int64, took time.Duration) {
		var (
			in     atomic.Int64
			flying sync.WaitGroup
		)
		begin, tick := time.Now(), time.NewTicker(time.Millisecond)
		defer tick.Stop()
		slots := make(chan struct{}, 48) // below what may be in flight
		for sent := 0; time.Since(begin) < during; <-tick.C {
			for due := int(time.Since(begin).Seconds() * 2 * float64(l.rate)); sent < due; sent++ {
				slots <- struct{}{}
				flying.Go(func() {
					defer func() { <-slots }()
					a, err := c.Try(t.Context(), shoptest.Call{Method: "GET", Path: limited})
					if err == nil && a.Status == http.StatusOK {
						in.Add(1)
					}
				})
			}
		}
		took = time.Since(begin)
		flying.Wait()
		return in.Load(), took
	}
	offer(time.Duration(float64(l.burst)/float64(l.rate)*float64(time.Second)) + 2*time.Second) // the burst is gone
	got, took := offer(5 * time.Second)
	want := float64(l.rate) * took.Seconds()
	t.Logf("%d requests were let in within %.2f s, %.0f are the limit", got, took.Seconds(), want)
	if math.Abs(float64(got)-want) > .1*want {
		t.Errorf("%d requests were let in, want %.0f within a tenth", got, want)
	}
}
