// Package wait pauses between tries: for a time, with growing pauses, or until something holds. All of it ends with the
// context.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

// For pauses for d. It reports false when ctx ended first.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Until calls check until it returns nil, with a pause of every between two calls. When ctx ends first, Until returns
// the last error that check returned before the end.
func Until(ctx context.Context, every time.Duration, check func(context.Context) error) error {
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // what the end of ctx made of a check tells nothing
		}
		if !For(ctx, every) {
			return last
		}
	}
}

// Backoff is a series of pauses that double from First to Most.
type Backoff struct{ First, Most time.Duration }

// After is the pause after a number of failures in a row; First after one or none.
func (b Backoff) After(failures int) time.Duration {
	pause := b.First
	for ; failures > 1 && pause < b.Most; failures-- {
		pause *= 2
	}
	return min(pause, b.Most)
}

// Spread is After less a random part of at most half, so that many who wait for the same thing do not come back at once.
func (b Backoff) Spread(failures int) time.Duration {
	d := b.After(failures)
	return d - Jitter(max(1, d/2))
}

// Jitter returns a random duration from 0 up to most, exclusive. It is a variable so that simulations can be
// deterministic; nothing else sets it.
var Jitter = rand.N[time.Duration]
