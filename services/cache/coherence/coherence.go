// Package coherence keeps the gateways' caches coherent: a read that starts after a change was acknowledged never
// returns an older version.
//
//	                 commit ─► Announce ─► answer to the writer
//	                              │
//	           1. Raise           │  2. tell, and wait for each lease
//	              ▼               │     to confirm or to end
//	Shared: floors, values  ◄─────┴─────►  registry {near}: leases, inboxes
//	in Redis Cluster, a key                   ▲ renew, pop, confirm
//	per book                                  │
//	   ▲ Lookup, Store                      Follower ─► Near.Raise, Near.Flush
//	   └────────────── a gateway's cache ──────┘
//
// Shared is the tier in Redis, a gateway runs a Follower, writers call an Announcer. README.md says why it is safe.
package coherence

import (
	"embed"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
)

// Gone is the value of both versions of a withdrawn book: no version is higher.
const Gone int64 = math.MaxInt64

// Floor is the lowest versions of a book that an answer may have.
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

// Near is a gateway's near tier, as its Follower uses it. Both methods apply to copies and to fills in flight: a reader
// who comes after they return must not get the result of a fill that started before. They are called from one
// goroutine. Raise must be quick, because writers wait for it.
type Near interface {
	// Raise makes the tier forget what it has below the floors.
	Raise(floors []Floor)
	// Flush makes the tier forget everything.
	Flush()
}

const (
	// lease is how long a gateway may answer from its near tier after it sent a renewal to Redis.
	lease = time.Second
	// fresh is how long a copy in the shared tier is served. Coherence does not need it: it bounds what a mistake costs.
	fresh = 10 * time.Minute
	// freshMissing is the same of a 404.
	freshMissing = 10 * time.Second
	// stale is the greatest age of a copy that is served while the circuit of books is open.
	stale = 10 * time.Minute
	// tokenLife is longer than any fill.
	tokenLife = 6 * time.Second
	// keyLife is how long a book's key stays after its last write or fill: at least as long as a copy is fresh, since
	// the copy needs its floor.
	keyLife = 10 * time.Minute
)

//go:embed lua/*.lua
var lua embed.FS

// script puts one together from its parts.
func script(parts ...string) *goredis.Script {
	var source []byte
	for _, part := range parts {
		text, err := lua.ReadFile("lua/" + part + ".lua")
		if err != nil {
			panic("coherence: embedded scripts: " + err.Error())
		}
		source = append(source, text...)
	}
	return goredis.NewScript(string(source))
}

var (
	lookupScript = script("incarnation", "book", "lookup")
	storeScript  = script("incarnation", "book", "store")
	raiseScript  = script("incarnation", "book", "raise")

	joinScript    = script("incarnation", "registry", "join")
	renewScript   = script("incarnation", "registry", "renew")
	publishScript = script("incarnation", "registry", "publish")
	revokeScript  = script("incarnation", "registry", "revoke")
	leaveScript   = script("leave")
	confirmScript = script("confirm")
)

// sharedCounts returns the registry's one counter: a gateway has a tier for reads and another in its announcer.
func sharedCounts(reg prometheus.Registerer) *prometheus.CounterVec {
	return registered(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cache_shared_total", Help: "Calls to the shared cache in Redis, by operation (lookup, store, raise, stale) and result; skipped: not made because the shard had just failed.",
	}, []string{"op", "result"}))
}

// registered returns the collector that the registry has already, or c.
func registered[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var already prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}
