package shoptest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Gap is the longest time without service that ended after since, of a client that was served at
// these times, in their order, and sent its last request at until. Without any, it lasts from since.
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

// Serve records that the client was served just now.
func (k *Track) Serve() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.served = append(k.served, time.Now())
}

// Gap is the client's (see the function).
func (k *Track) Gap(since, until time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Gap(k.served, since, until)
}

// Tally adds up answers by what they were.
type Tally struct {
	mu sync.Mutex
	n  map[string]int
}

// Add counts one.
func (c *Tally) Add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

// Text is all counts in words.
func (c *Tally) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.n)
}

// Inconclusive is the function of that name, and counts each such attempt.
func (c *Tally) Inconclusive(a *Answer, err error) bool {
	again := Inconclusive(a, err)
	if again {
		c.Add("repeated")
	}
	return again
}
