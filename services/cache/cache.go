// Package cache keeps answers of the books service near: in the memory of one
// gateway, in front of the tier that all gateways share.
//
// A copy of a book is given from near only while the gateway's lease lives,
// which is how long whoever changes a book waits for the gateway to confirm:
// cache/coherence. What keeps a slow fill from bringing back what was changed
// meanwhile:
//
//	            no copy                     done, still attached
//	(nothing) ───────────► fill on its way ──────────────────────► copy
//	                            │ Raise: detached, its answer is       │ Raise: outdated
//	                            │ for those who wait for it alone      │ Flush: of another generation
//	                            ▼                                      ▼
//	                        (nothing)                             stale copy: while
//	                                                              the circuit is open
//
// Lists promise less (they may lag by 2 s), live for a second, and need no lease.
package cache

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache/coherence"
)

// Source is where an answer came from, in the words of the header X-Cache.
type Source string

// The sources.
const (
	Near   Source = "near"   // this gateway's memory
	Shared Source = "shared" // the tier of all gateways
	Miss   Source = "miss"   // the service
	Stale  Source = "stale"  // an old copy, since the service's circuit is open
)

const (
	// A copy of a book is right for as long as the lease lives. It is renewed
	// all the same: what is read often is never older than a minute, come what may.
	refreshAfter = 48 * time.Second
	// refreshPause is between tries to renew a copy while they fail.
	refreshPause = time.Second
	// missingLife is how long it is held that a book is not there.
	missingLife = 10 * time.Second
	// listLife is half of what a list may lag by.
	listLife = time.Second
	// staleLife is how old an answer may be that is given while the circuit is open.
	staleLife = 10 * time.Minute
	// fillTimeout bounds a fill, however long its readers would wait.
	fillTimeout = 5 * time.Second

	defaultBytes = 32 << 20
)

// Origin asks the service once. A fault.CircuitOpen lets stale copies be given.
type Origin func(ctx context.Context, id int64) (Filled, error)

// Filled is what the service answered: a book, or that it is not there or gone.
type Filled struct {
	Entry *coherence.Entry // FilledAt may be left out: when the fill began
	// Highest is the highest id that any book has, as the service says with a
	// book that is not there; 0: it has not said.
	Highest int64
}

// ListOrigin asks the service for a list. The entry has a body and status 200;
// FilledAt may be left out.
type ListOrigin func(ctx context.Context, query string) (*coherence.Entry, error)

// Lease tells whether this gateway is told of changes: coherence.Follower.
type Lease interface{ Live() bool }

// SharedTier is the tier of all gateways: coherence.Shared.
type SharedTier interface {
	Look(ctx context.Context, id int64) (entry *coherence.Entry, token string, err error)
	Store(ctx context.Context, token string, entry *coherence.Entry) (stored bool, err error)
	Stale(ctx context.Context, id int64) (*coherence.Entry, error)
}

// Options of a cache.
type Options struct {
	Bytes    uint64     // what the copies may take; 0 means 32 MiB
	Shared   SharedTier // of books; nil: there is none
	Registry prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Bytes == 0 {
		o.Bytes = defaultBytes
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}
