package cache

import (
	"context"
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

	// current is the generation of now. Flush begins another one, and what
	// belongs to an earlier one is never fresh again.
	current atomic.Uint64
}

// NewBooks makes a cache; Close ends its fills. Until it is told whose lease
// counts (Follow) it answers nothing from near.
func NewBooks(o Options) *Books {
	o = o.withDefaults()
	b := &Books{shared: o.Shared}
	b.current.Store(1)
	b.tier = newTier(b, o.Bytes, func(int64) int { return 0 }, o.Registry, "books")
	return b
}

// Follow tells whose lease counts, before the first read.
func (b *Books) Follow(lease Lease) { b.lease = lease }

// Close ends the fills on their way and waits for them. Later reads that would
// need one fail.
func (b *Books) Close() { b.tier.crew.close() }

// Near returns a copy that needs nothing done about it: no fill, no refresh.
// It allocates nothing.
func (b *Books) Near(id int64) (*Copy, bool) {
	c, ok := b.tier.get(id)
	if !ok || c.due() {
		return nil, false
	}
	b.tier.metrics.near.Inc()
	return c, true
}

// Get returns what is to be answered about a book, asking origin if neither
// tier knows. Many readers of a book that is not near share one question.
func (b *Books) Get(ctx context.Context, id int64, origin Origin) (*Copy, Source, error) {
	c, source, err := b.get(ctx, id, origin)
	b.tier.metrics.read(source, err)
	return c, source, err
}

func (b *Books) get(ctx context.Context, id int64, origin Origin) (*Copy, Source, error) {
	if c, ok := b.tier.get(id); ok {
		if c.claim() {
			b.tier.refresh(ctx, id, func(ctx context.Context, f *flight) error { return b.ask(ctx, id, origin, f) })
		}
		return c, Near, nil
	}
	if c, ok := b.beyond(id); ok {
		return c, Near, nil
	}
	return b.tier.fetch(ctx, id, func(ctx context.Context, f *flight) error { return b.look(ctx, id, origin, f) })
}

// look fills from the shared tier, else from the origin. A shared tier that is
// away is passed over.
func (b *Books) look(ctx context.Context, id int64, origin Origin, f *flight) error {
	if b.shared == nil {
		return b.ask(ctx, id, origin, f)
	}
	entry, token, err := b.shared.Look(ctx, id)
	if err == nil && entry != nil {
		f.bring(entry, Shared)
		return nil
	}
	if err := b.ask(ctx, id, origin, f); err != nil || f.source == Stale || token == "" {
		return err
	}
	// A copy that cannot be shared is one more question later.
	f.after = func(ctx context.Context) { _, _ = b.shared.Store(ctx, token, f.copy.Entry) }
	return nil
}

// ask fills from the origin, or with a stale copy while its circuit is open.
func (b *Books) ask(ctx context.Context, id int64, origin Origin, f *flight) error {
	filled, err := origin(ctx, id)
	if err != nil {
		if fault.KindOf(err) == fault.CircuitOpen && b.stale(ctx, id, f) {
			return nil
		}
		return err
	}
	f.bring(filled.Entry, Miss)
	if filled.Highest > 0 {
		b.absent.learn(absence{above: filled.Highest, generation: f.generation, since: f.begun})
	}
	return nil
}

// stale finds the last that was known of a book.
func (b *Books) stale(ctx context.Context, id int64, f *flight) bool {
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

// beyond answers for ids above the highest.
func (b *Books) beyond(id int64) (*Copy, bool) {
	a := b.absent.known.Load()
	if a == nil || id <= a.above || time.Since(a.since) >= missingLife || !b.now(a.generation) {
		return nil, false
	}
	return notThere(id, a.since), true
}

// Raise makes copies below the floors outdated; after it, nobody is answered
// below them from near.
func (b *Books) Raise(floors []coherence.Floor) {
	for _, floor := range floors {
		b.absent.raise(floor.BookID)
		b.tier.invalidate(floor.BookID, func(c *Copy) bool { return c.Below(floor) })
	}
}

// Flush makes all copies outdated, and the fills on their way useless for
// later readers.
func (b *Books) Flush() { b.current.Add(1) }

func (b *Books) live() bool { return b.lease != nil && b.lease.Live() }

// now tells whether the lease has lived on from the time of a generation. The
// lease is asked first: one that ended and began anew in between has moved the
// generation.
func (b *Books) now(generation uint64) bool { return b.live() && generation == b.current.Load() }

// generation of a fill that begins now. The lease is asked last, for the same
// reason: were it alive only before the generation moved, a fill without a
// lease would pass for one with.
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

// shares: without a lease a fill that has begun may have read what was changed,
// and acknowledged, before this reader came.
func (b *Books) shares(f *flight) bool { return b.now(f.generation) }
