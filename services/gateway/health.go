package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// healthTimeout bounds the check of an upstream.
const healthTimeout = 500 * time.Millisecond

// Health checks the readiness of every upstream, all at once.
func (g *Gateway) Health(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var (
		mu     sync.Mutex
		checks sync.WaitGroup
		found  = make(map[string]error, len(g.options.Upstreams))
	)
	for name := range g.options.Upstreams {
		checks.Go(func() {
			err := g.check(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			found[string(name)] = err
		})
	}
	checks.Wait()
	return found
}

func (g *Gateway) check(ctx context.Context, name Upstream) error {
	answer, err := g.send(ctx, upstreamRequest{
		method: http.MethodGet, url: g.options.Upstreams[name].JoinPath("/ready"), header: http.Header{},
	})
	if err == nil && answer.status != http.StatusOK {
		err = fault.Newf(fault.Unavailable, "%s answers %d", name, answer.status)
	}
	return err
}

// Circuits says of every destination whether its circuit is closed, half_open
// or open.
func (g *Gateway) Circuits() map[string]string {
	states := map[string]string{}
	for name, d := range g.metrics.destinations {
		states[string(name)] = d.breaker.state().String()
	}
	return states
}
