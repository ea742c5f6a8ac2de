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

// leaseTime is how long the permits of a lease last for a client that uses its
// whole rate at one gateway. A limit is inexact by that much.
const leaseTime = 50 * time.Millisecond

// lease is how many permits are leased at a time: at most a quarter of the burst,
// so that one gateway does not take all of it.
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

// timeFor is how long the bucket takes to gain so many permits.
func (l Limits) timeFor(permits float64) time.Duration {
	return time.Duration(math.Ceil(permits / l.Rate * float64(time.Second)))
}

// client is this gateway's state of one client. Its shard's lock guards it.
type client struct {
	key    string // in Redis
	limits Limits
	// Computed from limits once.
	quota, lease int
	policy       string

	inFlight int
	streams  int       // of those in flight
	used     time.Time // of its last request

	permits int       // leased, not used yet
	level   float64   // what the bucket held at a time: by Redis' last reply or, while local, by this gateway's count
	at      time.Time // that time
	askAt   time.Time // earliest time of the next call to Redis
	local   bool      // Redis does not answer, or not in time: this gateway's own bucket counts
	debt    int       // permits used without a lease; below 0: to be returned

	refilled chan struct{} // not nil while a refill is in flight; closed at its end
	waiting  int           // requests that wait for the refill
}

func (c *client) setLimits(limits Limits) {
	c.limits = limits
	c.quota, _ = limits.quota()
	c.lease, c.policy = limits.lease(), limits.policy()
}

// levelAt is what the bucket holds now if no permit was taken since.
func (c *client) levelAt(now time.Time) float64 {
	return min(float64(c.limits.Burst), c.level+now.Sub(c.at).Seconds()*c.limits.Rate)
}

// empty tells whether the client has no permits left while Redis may have some.
func (c *client) empty(now time.Time) bool {
	return c.permits == 0 && !c.local && !now.Before(c.askAt)
}

// low tells whether to refill in the background: half of a lease is left, or Redis was down. A lease of one permit is
// taken only when needed, or each gateway would always hold one back.
func (c *client) low(now time.Time) bool {
	return c.refilled == nil && !now.Before(c.askAt) && (c.local || 2*c.permits < c.lease-1)
}

// take uses a permit. Without one it returns the time until there is one.
func (c *client) take(now time.Time) (wait time.Duration, ok bool) {
	if c.permits > 0 {
		c.permits--
		return 0, true
	}
	if !c.local {
		return max(time.Millisecond, c.askAt.Sub(now)), false
	}
	level := c.levelAt(now)
	if level < 1 {
		return c.limits.timeFor(1 - level), false
	}
	c.level, c.at = level-1, now
	c.debt++
	return 0, true
}

// granted applies Redis' reply.
func (c *client) granted(wanted int, g grant, now time.Time) {
	c.permits += g.permits
	c.level, c.at, c.local, c.askAt = g.level, now, false, now
	if g.permits < wanted {
		// There is one permit after timeFor(1-level), but a call for each permit would be too many: wait for a whole
		// lease, leaseTime at most.
		soon := min(leaseTime, c.limits.timeFor(float64(c.lease)-g.level))
		c.askAt = now.Add(max(soon, c.limits.timeFor(1-g.level)))
	}
}

// failed switches the client to this gateway's own bucket after a failed call.
func (c *client) failed(now time.Time) {
	c.local, c.debt, c.askAt = true, 0, now.Add(retryAfter)
}

func (c *client) state(now time.Time) State {
	most := min(c.quota, c.limits.Burst)
	have := float64(c.permits) + max(0, c.levelAt(now))
	s := State{Limit: c.quota, Remaining: min(most, int(have)), Policy: c.policy}
	if s.Remaining < most {
		s.Reset = c.limits.timeFor(float64(most) - have)
	}
	return s
}

// refused is the state of a client without a permit.
func (c *client) refused(now time.Time, wait time.Duration) State {
	s := c.state(now)
	s.Remaining, s.Reset = 0, max(s.Reset, wait)
	return s
}
