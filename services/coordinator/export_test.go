package coordinator

import "time"

// SetJitter replaces what spreads repetitions, until restore is called.
func SetJitter(f func(most time.Duration) time.Duration) (restore func()) {
	before := jitter
	jitter = f
	return func() { jitter = before }
}
