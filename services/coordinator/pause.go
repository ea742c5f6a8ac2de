package coordinator

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause waits for d and reports whether ctx was still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// backoff doubles from 20 ms to half a second, with jitter, so that many who
// wait for the same thing do not come back at once.
func backoff(tries int) time.Duration {
	const lowest, highest = 20 * time.Millisecond, 500 * time.Millisecond
	d := highest
	if tries < 5 {
		d = min(highest, lowest<<tries)
	}
	return d/2 + jitter(d/2)
}

// jitter is a variable for simulations, which must be able to repeat.
var jitter = rand.N[time.Duration]
