package gateway

import (
	"cmp"
	"errors"
	"time"
)

// Resilience configures the circuit, the retry budget and the limit of calls in flight that each destination has in each
// gateway. A zero field means the default in its tag.
type Resilience struct {
	// CircuitThreshold is the number of reroutes of failed calls, without a success between, that opens a circuit.
	CircuitThreshold uint          `env:"CIRCUIT_THRESHOLD" envDefault:"3"`
	CircuitOpenFor   time.Duration `env:"CIRCUIT_OPEN_FOR" envDefault:"10s"` // until a trial

	// The retry budget: the gateway sends again at most this share of the calls of the last ten seconds, or ResendLeast
	// calls if that is more.
	ResendShare float64 `env:"RESEND_SHARE" envDefault:"0.2"`
	ResendLeast int     `env:"RESEND_LEAST" envDefault:"20"`

	// The limit of calls in flight adapts to response times, between Least and Most, from First. Least is what a burst
	// gets after a quiet night.
	InFlightLeast uint `env:"UPSTREAM_IN_FLIGHT_LEAST" envDefault:"32"`
	InFlightFirst uint `env:"UPSTREAM_IN_FLIGHT_FIRST" envDefault:"64"`
	InFlightMost  uint `env:"UPSTREAM_IN_FLIGHT_MOST" envDefault:"128"`
	// InFlightWait is how long a call waits at most once the limit is reached.
	InFlightWait time.Duration `env:"UPSTREAM_IN_FLIGHT_WAIT" envDefault:"50ms"`
}

// Validate reports every problem at once.
func (r Resilience) Validate() error {
	var problems []error
	require := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	require(r.CircuitThreshold >= 1, "CIRCUIT_THRESHOLD: must be positive")
	require(r.CircuitOpenFor > 0, "CIRCUIT_OPEN_FOR: must be positive")
	require(r.ResendShare > 0 && r.ResendShare <= 1, "RESEND_SHARE: must be above 0 and at most 1")
	require(r.ResendLeast >= 1, "RESEND_LEAST: must be positive")
	require(r.InFlightLeast >= 1 && r.InFlightLeast <= r.InFlightFirst && r.InFlightFirst <= r.InFlightMost,
		"UPSTREAM_IN_FLIGHT_FIRST: must be between UPSTREAM_IN_FLIGHT_LEAST, which must be positive, and UPSTREAM_IN_FLIGHT_MOST")
	require(r.InFlightWait > 0, "UPSTREAM_IN_FLIGHT_WAIT: must be positive")
	return errors.Join(problems...)
}

func (r Resilience) withDefaults() Resilience {
	return Resilience{
		CircuitThreshold: cmp.Or(r.CircuitThreshold, 3),
		CircuitOpenFor:   cmp.Or(r.CircuitOpenFor, 10*time.Second),
		ResendShare:      cmp.Or(r.ResendShare, 0.2),
		ResendLeast:      cmp.Or(r.ResendLeast, 20),
		InFlightLeast:    cmp.Or(r.InFlightLeast, 32),
		InFlightFirst:    cmp.Or(r.InFlightFirst, 64),
		InFlightMost:     cmp.Or(r.InFlightMost, 128),
		InFlightWait:     cmp.Or(r.InFlightWait, 50*time.Millisecond),
	}
}

// forQueues are the settings for a service with admission queues of its own, the coordinator. Its response times do not
// show load, since all buyers of one book wait for one row; it refuses by itself what it cannot do in time. So its limit
// only bounds memory. A quarter of the least limit is open to late requests (lateShare): as many as one client may have
// in flight.
func (r Resilience) forQueues() Resilience {
	const least, most = 256, 512
	r.InFlightLeast, r.InFlightFirst, r.InFlightMost = max(r.InFlightLeast, least), max(r.InFlightFirst, least), max(r.InFlightMost, most)
	return r
}
