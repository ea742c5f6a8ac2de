// Package coherence keeps what the gateways' caches show of a book from going
// back behind what its writers were told.
//
//	                 commit ─► Announce ─► answer to the writer
//	                              │
//	           1. Raise           │  2. tell, and wait for each lease
//	              ▼               │     to confirm or to end
//	Shared: floors, values  ◄─────┴─────►  registry {near}: leases, inboxes
//	in Redis Cluster, a key                   ▲ renew, pop, confirm
//	per book                                  │
//	   ▲ Look, Store                       Follower ─► Near.Raise, Near.Flush
//	   └────────────── a gateway's cache ──────┘
//
// Shared is the tier in Redis, Follower is what a gateway with a near tier
// runs, Announcer is what writers call. README.md says why it is safe.
package coherence

import (
	"math"
	"time"
)

// Gone is both versions of a deleted book: nothing is above it.
const Gone int64 = math.MaxInt64

// Floor says that no answer about the book may show less than these versions.
type Floor struct {
	BookID       int64 `json:"b"`
	Version      int64 `json:"v"`
	StockVersion int64 `json:"s"`
}

// Entry is the answer of books to GET /books/{id} as it was at one moment. A
// 404 has the versions 0 and 0, a 410 has Gone twice.
type Entry struct {
	BookID       int64
	Version      int64
	StockVersion int64
	Status       int
	ETag         string
	Body         []byte
	FilledAt     time.Time // when the fill began
}

// Below reports that the entry shows less than the floor asks for.
func (e *Entry) Below(f Floor) bool {
	return e.Version < f.Version || e.StockVersion < f.StockVersion
}

// Near is a gateway's near tier as its Follower sees it. Both methods hold for
// whatever is kept and for whatever is being filled: a reader who comes after
// their return must not be given, nor wait for, a fill that began before it.
// Both are called from one goroutine, and writers wait for Raise: it must be
// quick.
type Near interface {
	// Raise makes the tier forget what it has below the floors.
	Raise(floors []Floor)
	// Flush makes the tier forget everything.
	Flush()
}

const (
	// lease is how long a gateway may answer from its near tier after it asked
	// Redis for the right to.
	lease = time.Second
	// fresh is how long a copy is served as what is. Coherence does not need
	// it: it bounds what a mistake costs.
	fresh = 10 * time.Minute
	// freshMissing is the same of a 404.
	freshMissing = 10 * time.Second
	// stale is how old a copy may be that is served for want of anything better.
	stale = 10 * time.Minute
	// tokenLife is longer than any fill: whoever has not stored by then will not.
	tokenLife = 6 * time.Second
	// keyLife is how long a book nobody writes or fills is remembered: at
	// least as long as a copy is fresh, which needs its floor.
	keyLife = 10 * time.Minute
)
