package shoptest

import (
	"slices"
	"sync"
	"time"
)

// Gap is the longest time without service that ended after since, of who was served at these
// times, in their order, and stopped asking at until. Who was never served has waited since then.
func Gap(served []time.Time, since, until time.Time) (longest time.Duration) {
	before := since
	for _, at := range append(slices.Clip(served), until) {
		if at.After(since) {
			longest = max(longest, at.Sub(before))
		}
		before = at
	}
	return longest
}

// Track is when one kind of client was served. Its methods may be called from any goroutine.
type Track struct {
	mu     sync.Mutex
	served []time.Time // in their order, since each is added as it comes
}

// Serve says that the client was served just now.
func (k *Track) Serve() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.served = append(k.served, time.Now())
}

// Gap is Gap of the client.
func (k *Track) Gap(since, until time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Gap(k.served, since, until)
}
