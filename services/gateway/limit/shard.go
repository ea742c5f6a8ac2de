package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const (
	shards = 32 // locks
	// most clients are known in a shard: some 300 bytes each.
	most = 256
	// sample is how many are looked at to find one that can be forgotten.
	sample = 16
)

// shard is a part of the clients.
type shard struct {
	mu      sync.Mutex
	clients map[string]*client
}

func (l *Limiter) shardOf(name string) *shard {
	return &l.shards[maphash.String(l.seed, name)%shards]
}

// find returns the client, known or new; the caller holds the shard's lock.
func (l *Limiter) find(s *shard, name string, limits Limits, now time.Time) *client {
	c := s.clients[name]
	if c == nil {
		digest := sha256.Sum256([]byte(name))
		c = &client{
			// Redis is told no addresses and no names.
			key:   "limit:{" + hex.EncodeToString(digest[:16]) + "}",
			level: float64(limits.Burst), at: now, askAt: now,
			local: l.bucket == nil || l.away.Load(),
		}
		if len(s.clients) >= most {
			s.forgetOne()
		}
		s.clients[strings.Clone(name)] = c
	}
	if c.limits != limits {
		c.hold(limits)
	}
	c.used = now
	return c
}

// forgetOne makes room: of some clients without a request in flight, the one
// that was last here the longest ago goes. With Redis it loses no more than the
// permits of a lease. Connections bound how many are in flight.
func (s *shard) forgetOne() {
	var oldest string
	var used time.Time
	looked := 0
	for name, c := range s.clients { // in random order
		if c.inFlight > 0 {
			continue
		}
		if looked == 0 || c.used.Before(used) {
			oldest, used = name, c.used
		}
		if looked++; looked == sample {
			break
		}
	}
	if looked > 0 {
		delete(s.clients, oldest)
	}
}

// count is how many clients are known.
func (l *Limiter) count() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.clients)
		s.mu.Unlock()
	}
	return n
}
