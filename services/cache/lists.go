package cache

import (
	"context"
	"time"
)

// Lists caches lists of books by their query.
type Lists struct{ tier *tier[string] }

// NewLists makes a cache; Close cancels its fills.
func NewLists(o Options) *Lists {
	o = o.withDefaults()
	l := &Lists{}
	l.tier = newTier(l, o.Bytes, func(query string) int { return len(query) }, o.Registry, "lists")
	return l
}

// Close cancels the fills in flight and waits for them. Later reads that need a fill fail.
func (l *Lists) Close() { l.tier.workers.close() }

// Get returns a list that is at most two seconds old, or an older one while the origin is away. query must not be
// changed afterwards.
func (l *Lists) Get(ctx context.Context, query string, origin ListOrigin) (*Copy, Source, error) {
	c, source, err := l.get(ctx, query, origin)
	l.tier.metrics.read(source, err)
	return c, source, err
}

func (l *Lists) get(ctx context.Context, query string, origin ListOrigin) (*Copy, Source, error) {
	if c, ok := l.tier.get(query); ok {
		return c, Near, nil
	}
	return l.tier.await(ctx, query, func(ctx context.Context, f *fill) error {
		entry, err := origin(ctx, query)
		if err == nil {
			f.set(entry, Miss)
			return nil
		}
		if c, ok := l.tier.last(query); ok && isAway(err) && c.lasts() {
			f.copy, f.source = c, Stale
			return nil
		}
		return err
	})
}

func (*Lists) generation() uint64 { return 1 }

func (*Lists) fresh(c *Copy) bool { return time.Since(c.begun) < listLife }

func (*Lists) shares(f *fill) bool { return time.Since(f.begun) < listLife }
