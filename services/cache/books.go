package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
)

// Books caches books by id. It is the near tier that coherence.Follower keeps
// coherent.
type Books struct {
	shared SharedTier
	lease  Lease
	tier   *tier[int64]
	absent absences

	// current is the current generation. Flush starts the next one; copies of an earlier one are never fresh again.
	current atomic.Uint64
}

// NewBooks makes a cache; Close cancels its fills. Before Follow it answers nothing from the near tier.
func NewBooks(o Options) *Books {
	o = o.withDefaults()
	b := &Books{shared: o.Shared}
	b.current.Store(1)
	b.tier = newTier(b, o.Bytes, func(int64) int { return 0 }, o.Registry, "books")
	return b
}

// Follow sets the lease under which the near tier may answer. It must be called before the first read.
func (b *Books) Follow(lease Lease) { b.lease = lease }

// Close cancels the fills in flight and waits for them. Later reads that need a fill fail.
func (b *Books) Close() { b.tier.workers.close() }

// Near returns a copy from the near tier, if there is a fresh one that is not due for a refresh. It allocates nothing.
func (b *Books) Near(id int64) (*Copy, bool) {
	c, ok := b.tier.get(id)
	if !ok || c.due() {
		return nil, false
	}
	b.tier.metrics.near.Inc()
	return c, true
}

// Get returns the answer about a book: from the near tier, else the shared tier, else the origin. Concurrent readers of
// a book that is not in the near tier share one fill.
func (b *Books) Get(ctx context.Context, id int64, origin Origin) (*Copy, Source, error) {
	c, source, err := b.get(ctx, id, origin)
	b.tier.metrics.read(source, err)
	return c, source, err
}

func (b *Books) get(ctx context.Context, id int64, origin Origin) (*Copy, Source, error) {
	if c, ok := b.tier.get(id); ok {
		if c.claim() {
			b.tier.refresh(ctx, id, func(ctx context.Context, f *fill) error { return b.fetch(ctx, id, origin, f) })
		}
		return c, Near, nil
	}
	if c, ok := b.beyond(id); ok {
		return c, Near, nil
	}
	return b.tier.await(ctx, id, func(ctx context.Context, f *fill) error { return b.load(ctx, id, origin, f) })
}

// load fills from the shared tier, else from the origin. A shared tier that is unavailable is skipped.
func (b *Books) load(ctx context.Context, id int64, origin Origin, f *fill) error {
	if b.shared == nil {
		return b.fetch(ctx, id, origin, f)
	}
	entry, token, err := b.shared.Lookup(ctx, id)
	if err == nil && entry != nil {
		f.set(entry, Shared)
		return nil
	}
	if err := b.fetch(ctx, id, origin, f); err != nil || f.source == Stale || token == "" {
		return err
	}
	// A copy that cannot be stored costs another fill later, no more.
	f.after = func(ctx context.Context) { _, _ = b.shared.Store(ctx, token, f.copy.Entry) }
	return nil
}

// fetch fills from the origin, or with a stale copy while the origin's circuit is open or it cannot be reached: lists come
// from replicas of the database, and so keep the circuit closed while there is no leader.
func (b *Books) fetch(ctx context.Context, id int64, origin Origin, f *fill) error {
	filled, err := origin(ctx, id)
	if err != nil {
		if isAway(err) && b.stale(ctx, id, f) {
			return nil
		}
		return err
	}
	f.set(filled.Entry, Miss)
	if filled.Highest > 0 {
		b.absent.learn(absence{above: filled.Highest, generation: f.generation, since: f.begun})
	}
	return nil
}

// isAway tells whether an origin cannot answer anybody for the moment. A call that timed out may have been an unlucky one.
func isAway(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.CircuitOpen || kind == fault.Unavailable
}

// stale fills with the last copy of a book, however outdated, up to staleLife.
func (b *Books) stale(ctx context.Context, id int64, f *fill) bool {
	if c, ok := b.tier.last(id); ok && c.lasts() {
		f.copy, f.source = c, Stale
		return true
	}
	if b.shared == nil {
		return false
	}
	entry, err := b.shared.Stale(ctx, id)
	if err != nil || entry == nil {
		return false
	}
	c := newCopy(entry, f.begun, 0)
	if !c.lasts() {
		return false
	}
	f.copy, f.source = c, Stale
	return true
}

// beyond answers for ids above the highest one in use.
func (b *Books) beyond(id int64) (*Copy, bool) {
	a := b.absent.known.Load()
	if a == nil || id <= a.above || time.Since(a.since) >= missingLife || !b.now(a.generation) {
		return nil, false
	}
	return notThere(id, a.since), true
}

// Raise makes copies below the floors outdated. After it returns, the near tier answers nothing below them.
func (b *Books) Raise(floors []coherence.Floor) {
	for _, floor := range floors {
		b.absent.raise(floor.BookID)
		b.tier.invalidate(floor.BookID, func(c *Copy) bool { return c.Below(floor) })
	}
}

// Flush makes all copies outdated, and the fills in flight useless to later readers.
func (b *Books) Flush() { b.current.Add(1) }

func (b *Books) live() bool { return b.lease != nil && b.lease.Live() }

// now tells whether the lease has been live since the start of a generation. It checks the lease first: a lease that
// lapsed and was taken anew in between has changed the generation.
func (b *Books) now(generation uint64) bool { return b.live() && generation == b.current.Load() }

// generation of a fill that starts now. It checks the lease last, for the same reason: a lease that was live only before
// the generation changed does not cover the fill.
func (b *Books) generation() uint64 {
	generation := b.current.Load()
	if !b.live() {
		return 0
	}
	return generation
}

func (b *Books) fresh(c *Copy) bool {
	return b.now(c.generation) && !c.outdated.Load() && !c.over()
}

// shares: without a lease, a fill in flight may have read the book before a change that was acknowledged before this
// reader came.
func (b *Books) shares(f *fill) bool { return b.now(f.generation) }

// absence says that no book has an id above some id. One entry answers for all ids that do not exist (a negative cache).
type absence struct {
	above      int64
	generation uint64 // of the fill that found it
	since      time.Time
}

// absences holds the current absence, if there is one.
type absences struct {
	known atomic.Pointer[absence]
	// raised is the highest id that a floor was ever raised for. A fill that found a lower highest id read too early.
	raised atomic.Int64
	mu     sync.Mutex // held to change either
}

// raise drops the absence if it denies this id, which is in use.
func (a *absences) raise(id int64) {
	if id <= a.raised.Load() {
		return // every absence since then has taken that id into account
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raised.Store(max(id, a.raised.Load()))
	if known := a.known.Load(); known != nil && known.above < id {
		a.known.Store(nil)
	}
}

func (a *absences) learn(found absence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found.generation != 0 && found.above >= a.raised.Load() {
		a.known.Store(&found)
	}
}
