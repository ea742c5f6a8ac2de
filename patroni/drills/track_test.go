//go:build drill

package drills

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// track is when one kind of client was served.
type track struct {
	mu     sync.Mutex
	served []time.Time // in their order, since each is added as it comes
}

func (k *track) serve() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.served = append(k.served, time.Now())
}

// gap is the longest time without service that ended after since; the load ended at until.
func (k *track) gap(since, until time.Time) (longest time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := since // who was never served before has waited since then
	for _, at := range append(slices.Clip(k.served), until) {
		if at.After(since) {
			longest = max(longest, at.Sub(before))
		}
		before = at
	}
	return longest
}

func TestGap(t *testing.T) {
	start := time.Now()
	at := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, start.Add(time.Duration(s)*time.Second))
		}
		return times
	}
	for name, c := range map[string]struct {
		served             []time.Time
		since, until, want int
	}{
		"one before the harm does not count":        {at(0, 9, 10, 11), 10, 11, 1},
		"one under way when the harm comes does":    {at(5, 9), 6, 10, 4},
		"what never came back lasts to the end":     {at(1, 2), 2, 20, 18},
		"who never was served has waited all along": {nil, 2, 20, 18},
	} {
		k := track{served: c.served}
		got := k.gap(at(c.since)[0], at(c.until)[0])
		if want := time.Duration(c.want) * time.Second; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
