package cache

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
)

// rules are what books and lists differ in.
type rules interface {
	// generation of a fill that begins now; 0: its copy is for nobody but those
	// who wait for it.
	generation() uint64
	// fresh tells whether a copy may be given to a reader of now.
	fresh(c *Copy) bool
	// shares tells whether a reader of now may wait for a fill that began before.
	shares(f *flight) bool
}

// tier is memory for copies, bounded in bytes, and the fills on their way: one
// for each key, and one that is to begin after it.
//
// A copy is stored, marked as outdated, and a fill begun, ended or detached,
// under the lock of the key's shard, so that no fill slips a copy in behind
// the back of whoever marks. Reading takes no lock.
type tier[K comparable] struct {
	rules   rules
	copies  *otter.Cache[K, *Copy]
	crew    *crew
	metrics *metrics
	seed    maphash.Seed
	shards  [64]shard[K]
}

type shard[K comparable] struct {
	mu      sync.Mutex
	flights map[K]*flight
}

func newTier[K comparable](r rules, bytes uint64, size func(K) int, registry prometheus.Registerer, of string) *tier[K] {
	t := &tier[K]{rules: r, crew: newCrew(), seed: maphash.MakeSeed()}
	t.copies = otter.Must(&otter.Options[K, *Copy]{
		MaximumWeight: bytes,
		Weigher:       func(key K, c *Copy) uint32 { return c.weight(size(key)) },
		// The housekeeping is short, and in nobody's goroutine it would be a leak.
		Executor: func(work func()) { work() },
	})
	t.metrics = newMetrics(registry, of,
		func() float64 { return float64(t.copies.EstimatedSize()) },
		func() float64 { return float64(t.copies.WeightedSize()) })
	for i := range t.shards {
		t.shards[i].flights = map[K]*flight{}
	}
	return t
}

func (t *tier[K]) shard(key K) *shard[K] {
	return &t.shards[maphash.Comparable(t.seed, key)%uint64(len(t.shards))]
}

// get returns the copy of key if it may be given.
func (t *tier[K]) get(key K) (*Copy, bool) {
	c, ok := t.copies.GetIfPresent(key)
	return c, ok && t.rules.fresh(c)
}

// last returns the copy of key, whatever it is.
func (t *tier[K]) last(key K) (*Copy, bool) {
	held, ok := t.copies.GetEntryQuietly(key)
	return held.Value, ok
}

// fetch answers a reader for whom there is no copy, by a fill.
func (t *tier[K]) fetch(ctx context.Context, key K, fill func(context.Context, *flight) error) (*Copy, Source, error) {
	f, c := t.board(ctx, key, fill)
	if c != nil {
		return c, Near, nil
	}
	select {
	case <-f.done:
		return f.copy, f.source, f.err
	case <-ctx.Done():
		return nil, Miss, fault.Wrap("wait for a fill", ctx.Err())
	}
}

// board finds the reader's flight, or the copy that one has just brought.
func (t *tier[K]) board(ctx context.Context, key K, fill func(context.Context, *flight) error) (*flight, *Copy) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := t.get(key); ok {
		return nil, c
	}
	f := s.flights[key]
	switch {
	case f == nil:
		f = newFlight(ctx, fill)
		t.begin(s, key, f)
	case !t.rules.shares(f):
		if f.next == nil {
			f.next = newFlight(ctx, fill)
		}
		f = f.next
	}
	return f, nil
}

// refresh begins a fill, unless there is one, and waits for none.
func (t *tier[K]) refresh(ctx context.Context, key K, fill func(context.Context, *flight) error) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[key] == nil {
		t.begin(s, key, newFlight(ctx, fill))
	}
}

// begin lets a flight take off; the caller holds the shard.
func (t *tier[K]) begin(s *shard[K], key K, f *flight) {
	s.flights[key] = f
	f.begun, f.generation = time.Now(), t.rules.generation()
	if t.crew.run(f.ctx, func(ctx context.Context) { t.fly(ctx, s, key, f) }) {
		return
	}
	delete(s.flights, key)
	f.err = fault.New(fault.Unavailable, "the gateway is stopping")
	close(f.done)
}

func (t *tier[K]) fly(ctx context.Context, s *shard[K], key K, f *flight) {
	f.fly(ctx)
	t.metrics.filled(t.land(s, key, f))
	close(f.done)
	if f.after != nil {
		f.after(ctx)
	}
}

// land stores what a flight brought, if it is still attached.
func (t *tier[K]) land(s *shard[K], key K, f *flight) (result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	attached := s.flights[key] == f
	if attached {
		defer t.advance(s, key)
	}
	switch {
	case f.err != nil || f.source == Stale:
		return fillFailed
	case !attached:
		return fillDetached
	}
	t.copies.Set(key, f.copy)
	return fillKept
}

// advance takes a key's flight off and begins the one after it; the caller
// holds the shard.
func (t *tier[K]) advance(s *shard[K], key K) {
	f := s.flights[key]
	delete(s.flights, key)
	if f != nil && f.next != nil {
		t.begin(s, key, f.next)
	}
}

// invalidate marks the copy of key where outdated says so, and detaches the
// fill on its way: nobody knows what it has read.
func (t *tier[K]) invalidate(key K, outdated func(*Copy) bool) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := t.last(key); ok && outdated(c) {
		c.outdated.Store(true)
	}
	t.advance(s, key)
}
