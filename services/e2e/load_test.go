//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// load sends a steady mix of reads and orders, whatever the answers take, and judges every
// answer: nothing is tried again but what was answered that it be tried again, for others
// were changing the same rows.
type load struct {
	shop  *shoptest.Client
	books []int64
	tally counts
	sent  atomic.Int64
	bad   atomic.Int64

	mu       sync.Mutex
	examples []string // the first failures in words

	stop context.CancelFunc
	done chan struct{}
}

// besideOthers is the rate of a load, in requests a second, while something else is done to the
// shop: about a third of what two cores carry, for what is started or replaced takes as much again.
const besideOthers = 30

// The bounds of a load: most requests in flight, tries of one, and its longest life.
const (
	maxTries    = 3
	maxInFlight = 1024 // half a minute of the loads here: a stall is slow, what fails is a failure
	maxLoad     = 12 * time.Minute
)

// startLoad sends perSecond requests a second until the load is stopped.
func startLoad(t *testing.T, perSecond int) *load {
	t.Helper()
	l := &load{shop: shoptest.Shop(t), done: make(chan struct{})}
	for i := range 20 {
		l.books = append(l.books, l.shop.AddBook(t, fmt.Sprintf("Load %d", i), 100_000).ID)
	}
	tellOfMachine(t)
	ctx, stop := context.WithTimeout(t.Context(), maxLoad)
	l.stop = stop
	go l.run(ctx, time.Second/time.Duration(perSecond))
	t.Cleanup(func() { l.stop(); <-l.done })
	return l
}

func (l *load) run(ctx context.Context, every time.Duration) {
	defer close(l.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	slots := make(chan struct{}, maxInFlight)
	var flying sync.WaitGroup
	defer flying.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			l.fail(fmt.Sprintf("more than %d requests are waiting for an answer", maxInFlight))
			continue
		}
		n := l.sent.Add(1)
		flying.Go(func() { l.request(n); <-slots })
	}
}

// request makes the nth request. It is not cancelled when the load ends: what was sent is
// judged.
func (l *load) request(n int64) {
	book := l.books[n%int64(len(l.books))]
	k, want := shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", book)}, http.StatusOK
	switch n % 10 {
	case 0, 1:
		k, want = shoptest.Buy("load", "load-"+uuid.NewString(), shoptest.OrderItem{BookID: book, Quantity: 1}), http.StatusCreated
	case 2:
		k = shoptest.Call{Method: "GET", Path: "/books?limit=5"}
	case 3:
		k = shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d/availability", book)}
	case 4:
		k = shoptest.Call{Method: "GET", Path: "/orders?customerId=load&limit=5"}
	}
	a, err := l.shop.Try(context.Background(), k)
	for tries := 1; err == nil && a.Status == http.StatusConflict && shoptest.Again(a) && tries < maxTries; tries++ {
		l.tally.add(k.Method + " " + a.Problem().Code)
		a, err = l.shop.Try(context.Background(), k)
	}
	switch {
	case err != nil:
		l.fail(fmt.Sprintf("%s %s: %v", k.Method, k.Path, err))
	case a.Status != want:
		l.fail(fmt.Sprintf("%s %s: %v", k.Method, k.Path, a))
	default:
		l.tally.add(fmt.Sprintf("%s %d", k.Method, a.Status))
	}
}

func (l *load) fail(what string) {
	l.bad.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.examples) < 10 {
		l.examples = append(l.examples, time.Now().UTC().Format("15:04:05.000 ")+what)
	}
}

// more waits until n more requests were sent: a stretch of load between two steps.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	until := l.sent.Load() + n
	shoptest.Eventually(t, time.Minute, fmt.Sprintf("%d more requests", n), func(context.Context) error {
		if now := l.sent.Load(); now < until {
			return fmt.Errorf("%d to go", until-now)
		}
		return nil
	})
}

// requireNoFailure ends the load and fails the test for any answer that was not the right one.
func (l *load) requireNoFailure(t *testing.T) {
	t.Helper()
	l.stop()
	<-l.done
	t.Logf("%d requests: %s", l.sent.Load(), l.tally.text())
	if bad := l.bad.Load(); bad > 0 {
		t.Errorf("%d of %d requests failed, such as", bad, l.sent.Load())
		for _, e := range l.examples {
			t.Log(e)
		}
	}
}
