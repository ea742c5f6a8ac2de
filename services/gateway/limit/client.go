package limit

import "time"

// client is this gateway's state of one client. Its shard's lock guards it.
type client struct {
	key    string // in Redis
	limits Limits
	// Made of limits once.
	quota, lease int
	policy       string

	inFlight int
	streams  int       // of those in flight
	used     time.Time // of its last request

	permits int       // leased, not used yet
	level   float64   // what the bucket held at a time: by Redis' last reply or, while local, by this gateway's count
	at      time.Time // that time
	askAt   time.Time // no call to Redis before
	local   bool      // Redis does not answer, or not in time
	owed    int       // permits used without a lease; below 0: to be returned

	refilled chan struct{} // not nil while a refill is in flight; closed at its end
	waiting  int           // requests that wait for the refill
}

func (c *client) hold(limits Limits) {
	c.limits = limits
	c.quota, _ = limits.quota()
	c.lease, c.policy = limits.lease(), limits.policy()
}

// levelAt is what the bucket holds now if no permit was taken since.
func (c *client) levelAt(now time.Time) float64 {
	return min(float64(c.limits.Burst), c.level+now.Sub(c.at).Seconds()*c.limits.Rate)
}

// dry tells whether the client has no permits left while Redis may have some.
func (c *client) dry(now time.Time) bool {
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
	c.owed++
	return 0, true
}

// answered applies Redis' reply.
func (c *client) answered(wanted int, g grant, now time.Time) {
	c.permits += g.permits
	c.level, c.at, c.local, c.askAt = g.level, now, false, now
	if g.permits < wanted {
		// There is a permit after timeFor(1-level); a lease of them saves asking
		// for each one.
		soon := min(leaseTime, c.limits.timeFor(float64(c.lease)-g.level))
		c.askAt = now.Add(max(soon, c.limits.timeFor(1-g.level)))
	}
}

// failed switches the client to this gateway's own bucket after a failed call.
func (c *client) failed(now time.Time) {
	c.local, c.owed, c.askAt = true, 0, now.Add(retryAfter)
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

// refused is the state of a client that has to wait.
func (c *client) refused(now time.Time, wait time.Duration) State {
	s := c.state(now)
	s.Remaining, s.Reset = 0, max(s.Reset, wait)
	return s
}
