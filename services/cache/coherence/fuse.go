package coherence

import (
	"strconv"
	"sync"
	"time"
)

const (
	// blowsAfter is how many failures in a row blow a fuse.
	blowsAfter = 2
	// blown is how long nothing is tried then, and how long one call after it
	// is alone in finding out whether it works again.
	blown = 300 * time.Millisecond
)

// fuse keeps callers from waiting for what has just failed.
type fuse struct {
	mu       sync.Mutex
	failures int
	until    time.Time
}

// allow reports whether to try.
func (f *fuse) allow() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures < blowsAfter {
		return true
	}
	now := time.Now()
	if now.Before(f.until) {
		return false
	}
	f.until = now.Add(blown)
	return true
}

// doubted reports whether the last try has failed.
func (f *fuse) doubted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failures > 0
}

// done says how a try went.
func (f *fuse) done(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.failures = 0
		return
	}
	f.failures++
	f.until = time.Now().Add(blown)
}

// ranges are fuses for the cluster's slots: one shard that is away must not
// cost the books of the others their cache.
type ranges [16]fuse

const slots = 16_384

func (r *ranges) of(book int64) *fuse {
	return &r[slot(strconv.FormatInt(book, 10))/(slots/len(r))]
}

// slot is the cluster's slot of a hash tag: its CRC16 as in XMODEM.
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
