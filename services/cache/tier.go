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

// rules are the differences between books and lists.
type rules interface {
	// generation of a fill that starts now; 0: its copy is given to its readers and not kept.
	generation() uint64
	// fresh tells whether a copy may be given to a reader who comes now.
	fresh(c *Copy) bool
	// shares tells whether a reader who comes now may wait for a fill that started earlier.
	shares(f *fill) bool
}

// tier is memory for copies, bounded in bytes, and the fills in flight: one for each key, and one that starts after it.
//
// Storing a copy, marking it as outdated, and starting, ending or detaching a fill all hold the lock of the key's
// shard. So no fill can store a copy that invalidate has missed. Reads take no lock.
type tier[K comparable] struct {
	rules   rules
	copies  *otter.Cache[K, *Copy]
	workers *workers
	metrics *metrics
	seed    maphash.Seed
	shards  [64]shard[K]
}

type shard[K comparable] struct {
	mu    sync.Mutex
	fills map[K]*fill
}

func newTier[K comparable](r rules, bytes uint64, size func(K) int, registry prometheus.Registerer, of string) *tier[K] {
	t := &tier[K]{rules: r, workers: newWorkers(), seed: maphash.MakeSeed()}
	t.copies = otter.Must(&otter.Options[K, *Copy]{
		MaximumWeight: bytes,
		Weigher:       func(key K, c *Copy) uint32 { return c.weight(size(key)) },
		// Maintenance runs in the caller's goroutine: it is short, and a goroutine of its own would outlive the cache.
		Executor: func(work func()) { work() },
	})
	t.metrics = newMetrics(registry, of,
		func() float64 { return float64(t.copies.EstimatedSize()) },
		func() float64 { return float64(t.copies.WeightedSize()) })
	for i := range t.shards {
		t.shards[i].fills = map[K]*fill{}
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

// last returns the copy of key, fresh or not.
func (t *tier[K]) last(key K) (*Copy, bool) {
	held, ok := t.copies.GetEntryQuietly(key)
	return held.Value, ok
}

// await returns a fill's result to a reader for whom there is no copy.
func (t *tier[K]) await(ctx context.Context, key K, load func(context.Context, *fill) error) (*Copy, Source, error) {
	f, c := t.join(ctx, key, load)
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

// join finds or starts the reader's fill, or returns the copy that one has just stored.
func (t *tier[K]) join(ctx context.Context, key K, load func(context.Context, *fill) error) (*fill, *Copy) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := t.get(key); ok {
		return nil, c
	}
	f := s.fills[key]
	switch {
	case f == nil:
		f = newFill(ctx, load)
		t.begin(s, key, f)
	case !t.rules.shares(f):
		if f.next == nil {
			f.next = newFill(ctx, load)
		}
		f = f.next
	}
	return f, nil
}

// refresh starts a fill, unless one is in flight, and does not wait for it.
func (t *tier[K]) refresh(ctx context.Context, key K, load func(context.Context, *fill) error) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fills[key] == nil {
		t.begin(s, key, newFill(ctx, load))
	}
}

// begin starts a fill; the caller holds the shard's lock.
func (t *tier[K]) begin(s *shard[K], key K, f *fill) {
	s.fills[key] = f
	f.begun, f.generation = time.Now(), t.rules.generation()
	if t.workers.run(f.ctx, func(ctx context.Context) { t.run(ctx, s, key, f) }) {
		return
	}
	delete(s.fills, key)
	f.err = fault.New(fault.Unavailable, "the gateway is stopping")
	close(f.done)
}

func (t *tier[K]) run(ctx context.Context, s *shard[K], key K, f *fill) {
	f.run(ctx)
	t.metrics.filled(t.finish(s, key, f))
	close(f.done)
	if f.after != nil {
		f.after(ctx)
	}
}

// finish stores the result of a fill, if the fill is still attached.
func (t *tier[K]) finish(s *shard[K], key K, f *fill) (result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	attached := s.fills[key] == f
	if attached {
		defer t.startNext(s, key)
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

// startNext detaches a key's fill and starts the one that waits for it; the caller holds the shard's lock.
func (t *tier[K]) startNext(s *shard[K], key K) {
	f := s.fills[key]
	delete(s.fills, key)
	if f != nil && f.next != nil {
		t.begin(s, key, f.next)
	}
}

// invalidate marks the copy of key if outdated says so, and detaches the fill in flight: what it has read may be from
// before the change.
func (t *tier[K]) invalidate(key K, outdated func(*Copy) bool) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := t.last(key); ok && outdated(c) {
		c.outdated.Store(true)
	}
	t.startNext(s, key)
}
