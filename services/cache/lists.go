package cache

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
)

// Lists caches lists of books by what was asked for.
type Lists struct{ tier *tier[string] }

// NewLists makes a cache; Close ends its fills.
func NewLists(o Options) *Lists {
	o = o.withDefaults()
	l := &Lists{}
	l.tier = newTier(l, o.Bytes, func(query string) int { return len(query) }, o.Registry, "lists")
	return l
}

// Close ends the fills on their way and waits for them. Later reads that would
// need one fail.
func (l *Lists) Close() { l.tier.crew.close() }

// Get returns a list that is no older than two seconds, but for those given
// while the circuit is open. query is kept.
func (l *Lists) Get(ctx context.Context, query string, origin ListOrigin) (*Copy, Source, error) {
	c, source, err := l.get(ctx, query, origin)
	l.tier.metrics.read(source, err)
	return c, source, err
}

func (l *Lists) get(ctx context.Context, query string, origin ListOrigin) (*Copy, Source, error) {
	if c, ok := l.tier.get(query); ok {
		return c, Near, nil
	}
	return l.tier.fetch(ctx, query, func(ctx context.Context, f *flight) error {
		entry, err := origin(ctx, query)
		if err == nil {
			f.bring(entry, Miss)
			return nil
		}
		if c, ok := l.tier.last(query); ok && fault.KindOf(err) == fault.CircuitOpen && c.lasts() {
			f.copy, f.source = c, Stale
			return nil
		}
		return err
	})
}

func (*Lists) generation() uint64 { return 1 }

func (*Lists) fresh(c *Copy) bool { return time.Since(c.begun) < listLife }

func (*Lists) shares(f *flight) bool { return time.Since(f.begun) < listLife }
