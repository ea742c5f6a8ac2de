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

	"bookstore/services/shoptest"
)

// steadyReads asks the same question at a steady rate, whatever the answers take. Nothing is asked
// again: what is not answered with 200 has failed.
type steadyReads struct {
	shop *shoptest.Client
	path string
	sent atomic.Int64
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	wrongs []string
}

// mostReads is how many may wait for an answer: a stall of some seconds.
const mostReads = 1024

func startReads(t *testing.T, perSecond int, path string) *steadyReads {
	t.Helper()
	r := &steadyReads{shop: shoptest.Shop(t), path: path, done: make(chan struct{})}
	ctx, stop := context.WithTimeout(t.Context(), maxLoad)
	r.stop = stop
	go r.run(ctx, time.Second/time.Duration(perSecond))
	t.Cleanup(r.end)
	return r
}

func (r *steadyReads) run(ctx context.Context, every time.Duration) {
	defer close(r.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	slots := make(chan struct{}, mostReads)
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
			r.sent.Add(1)
			flying.Go(func() { r.read(); <-slots })
		default:
			r.fail("too many wait for an answer")
		}
	}
}

// read is not cancelled when the load ends: what was sent is judged.
func (r *steadyReads) read() {
	a, err := r.shop.Try(context.Background(), shoptest.Call{Method: http.MethodGet, Path: r.path})
	if err != nil {
		r.fail(err.Error())
	} else if a.Status != http.StatusOK {
		r.fail(fmt.Sprintf("%v, X-Request-Id %s", a, a.Header.Get("X-Request-Id")))
	}
}

func (r *steadyReads) fail(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrongs = append(r.wrongs, time.Now().UTC().Format("15:04:05.000 ")+what)
}

func (r *steadyReads) failed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.wrongs...)
}

// end waits for the last answers.
func (r *steadyReads) end() { r.stop(); <-r.done }

// requireFailures fails the test when more reads have failed than may.
func (r *steadyReads) requireFailures(t *testing.T, most int) {
	t.Helper()
	failed := r.failed()
	if len(failed) <= most {
		return
	}
	t.Errorf("%d of %d reads of %s failed, more than %d, such as", len(failed), r.sent.Load(), r.path, most)
	for _, what := range failed[:min(10, len(failed))] {
		t.Log(what)
	}
}
