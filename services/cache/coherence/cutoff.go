package coherence

import (
	"strconv"
	"sync"
	"time"
)

const (
	// cutoffAfter is how many failures in a row start a cutoff.
	cutoffAfter = 2
	// cutoffTime is how long no call is made then. After it one call at a time is made, each cutoffTime apart, until
	// one succeeds.
	cutoffTime = 300 * time.Millisecond
)

// cutoff stops calls to a part of Redis that has just failed, so that readers go to the service at once. The gateway's
// circuit breakers guard its upstreams; a cutoff is simpler and shorter, for a cache that one can do without.
type cutoff struct {
	mu       sync.Mutex
	failures int
	until    time.Time
}

// allow reports whether a call may be made.
func (c *cutoff) allow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures < cutoffAfter {
		return true
	}
	now := time.Now()
	if now.Before(c.until) {
		return false
	}
	c.until = now.Add(cutoffTime)
	return true
}

// doubted reports whether the last call failed.
func (c *cutoff) doubted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures > 0
}

// done records the result of a call.
func (c *cutoff) done(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.failures = 0
		return
	}
	c.failures++
	c.until = time.Now().Add(cutoffTime)
}

// ranges are cutoffs for ranges of the cluster's hash slots: a shard that is down must not cut off the books of the others.
type ranges [16]cutoff

const slots = 16_384

func (r *ranges) of(book int64) *cutoff {
	return &r[slot(strconv.FormatInt(book, 10))/(slots/len(r))]
}

// slot is the cluster's hash slot of a hash tag: its CRC16 (XMODEM) modulo 16,384.
func slot(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}
