// Package cache keeps answers of the books service in two tiers: near, in the memory of one gateway, and shared, in Redis,
// for all gateways.
//
// A copy of a book is served from the near tier only while the gateway holds a lease. Whoever changes a book waits until
// every gateway has confirmed the change or its lease has ended (package coherence). A slow fill must not bring back what
// was changed meanwhile:
//
//	            no copy                     done, still attached
//	(nothing) ───────────► fill in flight ───────────────────────► copy
//	                            │ Raise: detached, its result is       │ Raise: outdated
//	                            │ given to its readers, not kept       │ Flush: of another generation
//	                            ▼                                      ▼
//	                        (nothing)                             stale copy: while
//	                                                              the service is away
//
// Lists need no lease: they may lag by 2 s, so a copy is fresh for a second.
package cache

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache/coherence"
)

// Source is where an answer came from: the value of the header X-Cache.
type Source string

// The sources.
const (
	Near   Source = "near"   // this gateway's memory
	Shared Source = "shared" // the tier of all gateways
	Miss   Source = "miss"   // the service
	Stale  Source = "stale"  // an old copy, because the service cannot be reached, or its circuit is open
)

const (
	// refreshAfter is the age from which a copy is refreshed in the background. Coherence does not need it: it bounds
	// what a mistake costs to a minute.
	refreshAfter = 48 * time.Second
	// refreshPause is the time between two refreshes of a copy while they fail.
	refreshPause = time.Second
	// missingLife is how long a 404 is fresh.
	missingLife = 10 * time.Second
	// listLife is how long a list is fresh: half of what it may lag by.
	listLife = time.Second
	// staleLife is the greatest age of an answer that is served while the service is away.
	staleLife = 10 * time.Minute
	// fillTimeout bounds a fill.
	fillTimeout = 5 * time.Second

	defaultBytes = 32 << 20
)

// Origin gets a book from the service. When it fails with fault.CircuitOpen or fault.Unavailable, a stale copy is served.
type Origin func(ctx context.Context, id int64) (Filled, error)

// Filled is the service's answer: a book (200), or that it does not exist (404) or was withdrawn (410).
type Filled struct {
	Entry *coherence.Entry // FilledAt may be zero: it is then the start of the fill
	// Highest is the highest id in use, which the service states with a 404; 0: not stated.
	Highest int64
}

// ListOrigin gets a list from the service. The entry has a body and status 200; FilledAt may be zero.
type ListOrigin func(ctx context.Context, query string) (*coherence.Entry, error)

// Lease tells whether changes are announced to this gateway: coherence.Follower.
type Lease interface{ Live() bool }

// SharedTier is the tier that all gateways share: coherence.Shared.
type SharedTier interface {
	Lookup(ctx context.Context, id int64) (entry *coherence.Entry, token string, err error)
	Store(ctx context.Context, token string, entry *coherence.Entry) (stored bool, err error)
	Stale(ctx context.Context, id int64) (*coherence.Entry, error)
}

// Options of a cache.
type Options struct {
	Bytes    uint64     // memory for copies; 0 means 32 MiB
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

// Results of a fill.
const (
	fillKept     = "kept"
	fillDetached = "detached" // the key changed meanwhile: given to its readers, not kept
	fillFailed   = "failed"
)

// metrics of one cache; of is books or lists.
type metrics struct {
	near, shared, miss, stale, failed prometheus.Counter
	fills                             *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, of string, entries, bytes func() float64) *metrics {
	labels := prometheus.Labels{"of": of}
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_reads_total", Help: "Reads through the cache, by source: near (this gateway's memory), shared (Redis), miss (the service), stale, none (failed).", ConstLabels: labels,
	}, []string{"source"})
	m := &metrics{
		near: reads.WithLabelValues(string(Near)), shared: reads.WithLabelValues(string(Shared)),
		miss: reads.WithLabelValues(string(Miss)), stale: reads.WithLabelValues(string(Stale)),
		failed: reads.WithLabelValues("none"),
		fills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_fills_total", Help: "Fills of the near tier, by result: kept, detached (the key changed meanwhile), failed.", ConstLabels: labels,
		}, []string{"result"}),
	}
	registry.MustRegister(reads, m.fills,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_entries", Help: "Copies in the near tier, stale ones included.", ConstLabels: labels,
		}, entries),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cache_bytes", Help: "Memory of the copies in the near tier, in bytes.", ConstLabels: labels,
		}, bytes))
	return m
}

// read counts one answer. It looks up no label, since every near hit calls it.
func (m *metrics) read(source Source, err error) {
	switch {
	case err != nil:
		m.failed.Inc()
	case source == Near:
		m.near.Inc()
	case source == Shared:
		m.shared.Inc()
	case source == Stale:
		m.stale.Inc()
	default:
		m.miss.Inc()
	}
}

func (m *metrics) filled(result string) { m.fills.WithLabelValues(result).Inc() }
