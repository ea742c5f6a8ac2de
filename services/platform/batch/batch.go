// Package batch coalesces concurrent calls: requests that arrive while batches are in flight form the next one. A
// request that arrives alone is sent at once; under load, one round trip and one flush to disk serve many.
package batch

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// inFlight is the number of batches in flight at once: one is sent while another's answer is read.
	inFlight = 2
	// maxSize is the number of requests in a batch.
	maxSize = 64
	// patience is how long a request waits for a batch in flight to end. Then it is sent in a batch beyond inFlight:
	// those in flight may hang on a server that died, while another connection would reach its successor.
	patience = 100 * time.Millisecond
)

// Group coalesces calls of one function.
type Group[Req, Res any] struct {
	send      func(context.Context, []Req) ([]Res, error)
	divisible func(error) bool
	slots     chan struct{} // holds one for each batch in flight

	mu    sync.Mutex
	queue []*call[Req, Res]
}

// call is one caller's.
type call[Req, Res any] struct {
	request Req
	done    chan struct{}

	// Readable once done is closed.
	result Res
	err    error
}

// New makes a group. send returns a result for each request, in their order, or an error for all of them. Its context
// has the values of the first caller's context, but does not end with it. divisible tells whether a single request
// may have caused an error: the batch is then sent again in two halves at the same time, and so on until the error is
// left to the requests that cause it.
func New[Req, Res any](send func(context.Context, []Req) ([]Res, error), divisible func(error) bool) *Group[Req, Res] {
	return &Group[Req, Res]{send: send, divisible: divisible, slots: make(chan struct{}, inFlight)}
}

// Do sends a request in a batch and returns its result. When ctx ends first, Do returns its error, and the request may
// be sent all the same.
func (g *Group[Req, Res]) Do(ctx context.Context, request Req) (Res, error) {
	c := &call[Req, Res]{request: request, done: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, c)
	g.mu.Unlock()
	g.dispatch(context.WithoutCancel(ctx), c)
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		var none Res
		return none, ctx.Err()
	}
}

// dispatch returns once c is in flight: in another caller's batch, or in one that it starts itself when a slot is free
// or patience is over.
func (g *Group[Req, Res]) dispatch(ctx context.Context, c *call[Req, Res]) {
	select {
	case g.slots <- struct{}{}:
		go g.flushInSlot(ctx)
		return
	default:
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case g.slots <- struct{}{}:
		go g.flushInSlot(ctx)
	case <-late.C:
		go g.flush(ctx)
	case <-c.done:
	}
}

func (g *Group[Req, Res]) flushInSlot(ctx context.Context) {
	g.flush(ctx)
	<-g.slots
}

// flush sends the calls that are queued.
func (g *Group[Req, Res]) flush(ctx context.Context) {
	g.mu.Lock()
	n := min(len(g.queue), maxSize)
	calls := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	g.mu.Unlock()
	if n > 0 {
		g.complete(ctx, calls)
	}
}

// complete sends calls and sets their results. By halving, a bad request costs the others two more calls on average,
// and a few in a row at most.
func (g *Group[Req, Res]) complete(ctx context.Context, calls []*call[Req, Res]) {
	err := g.try(ctx, calls)
	if err != nil && len(calls) > 1 && g.divisible(err) {
		var half sync.WaitGroup
		half.Go(func() { g.complete(ctx, calls[len(calls)/2:]) })
		g.complete(ctx, calls[:len(calls)/2])
		half.Wait()
		return
	}
	for _, c := range calls {
		c.err = err
		close(c.done)
	}
}

func (g *Group[Req, Res]) try(ctx context.Context, calls []*call[Req, Res]) error {
	requests := make([]Req, len(calls))
	for i, c := range calls {
		requests[i] = c.request
	}
	results, err := g.send(ctx, requests)
	if err != nil {
		return err
	}
	for i, c := range calls {
		c.result = results[i]
	}
	return nil
}
