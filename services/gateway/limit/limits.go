package limit

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits are the limits of one client.
type Limits struct {
	Rate     float64 `env:"RATE_LIMIT" envDefault:"200"`   // requests a second, over all gateways
	Burst    int     `env:"RATE_BURST" envDefault:"400"`   // requests at once after a pause
	InFlight int     `env:"MAX_IN_FLIGHT" envDefault:"64"` // requests being answered by one gateway
}

const (
	mostRate  = 1e6
	mostBurst = 1e7
)

// Validate reports every problem at once.
func (l Limits) Validate() error {
	var errs []error
	if math.IsNaN(l.Rate) || l.Rate <= 0 || l.Rate > mostRate {
		errs = append(errs, errors.New("RATE_LIMIT: must be above 0, and a million a second at most"))
	}
	if l.Burst < 1 || l.Burst > mostBurst {
		errs = append(errs, errors.New("RATE_BURST: must be between 1 and ten million"))
	}
	if l.InFlight < 1 {
		errs = append(errs, errors.New("MAX_IN_FLIGHT: must be at least 1"))
	}
	return errors.Join(errs...)
}

// streamShare is how many requests a client may have in flight for each stream.
const streamShare = 16

// Streams is how many of a client's requests in flight at one gateway may be streams: 4 of 64.
func (l Limits) Streams() int { return max(1, l.InFlight/streamShare) }

// leaseTime is how long the permits of a lease last a client that uses its
// whole rate at one gateway. It is what a limit is inexact by.
const leaseTime = 50 * time.Millisecond

// lease is how many permits are asked for at a time. A small burst is not left
// to one gateway alone.
func (l Limits) lease() int {
	return max(1, min(int(l.Rate*leaseTime.Seconds()), l.Burst/4))
}

// quota is the rate in whole requests and whole seconds.
func (l Limits) quota() (requests, seconds int) {
	if l.Rate >= 1 {
		return int(l.Rate), 1
	}
	return 1, int(math.Ceil(1 / l.Rate))
}

// policy is the value of RateLimit-Policy.
func (l Limits) policy() string {
	requests, seconds := l.quota()
	return fmt.Sprintf("%d;w=%d;burst=%d", requests, seconds, l.Burst)
}

// timeFor is how long it takes until there are so many permits more.
func (l Limits) timeFor(permits float64) time.Duration {
	return time.Duration(math.Ceil(permits / l.Rate * float64(time.Second)))
}
