package saga

import (
	"errors"
	"fmt"
	"time"
)

// Settings are the times and limits of an engine.
type Settings struct {
	CallTimeout time.Duration // of one call to a participant
	// StoreTimeout is of one call to the store that no request waits for.
	StoreTimeout time.Duration
	Lease        time.Duration // how long a saga in hand may show no sign of life
	ClaimEvery   time.Duration
	// ClockEvery is how often the database's clock is read, and how long that may take.
	ClockEvery time.Duration
	ClaimBatch int
	MaxInHand  int           // sagas driven at once
	MaxWaiting int           // sagas that wait in memory to be driven; the others wait in the store
	HoldEvery  time.Duration // how often it is asked whether a hold has ended
	HeldFor    time.Duration // how long a saga is left alone that a hold keeps from its next step
	CountEvery time.Duration // of the metric of what is not finished
	KeepFor    time.Duration // after its end; longer than any backup that may be restored
}

// DefaultSettings are those of the shop.
func DefaultSettings() Settings {
	return Settings{
		CallTimeout:  2 * time.Second,
		StoreTimeout: 5 * time.Second,
		Lease:        4 * time.Second,
		ClaimEvery:   200 * time.Millisecond,
		ClockEvery:   time.Second,
		ClaimBatch:   32,
		MaxInHand:    64,
		MaxWaiting:   512,
		HoldEvery:    time.Second,
		HeldFor:      30 * time.Second,
		CountEvery:   5 * time.Second,
		KeepFor:      35 * 24 * time.Hour,
	}
}

// Validate reports every setting that breaks a rule.
func (s Settings) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(s.CallTimeout > 0 && s.StoreTimeout > 0 && s.ClaimEvery > 0 && s.HoldEvery > 0 && s.ClockEvery > 0 && s.CountEvery > 0, "intervals are positive")
	check(s.Lease >= s.CallTimeout+time.Second, "a lease of %v does not outlast a call of %v and its storing", s.Lease, s.CallTimeout)
	check(s.ClaimBatch >= 1 && s.MaxInHand >= s.ClaimBatch, "a batch of %d does not fit %d in hand", s.ClaimBatch, s.MaxInHand)
	check(s.MaxWaiting >= 0 && s.HeldFor >= s.Lease, "%d cannot wait; held for %v is less than a lease", s.MaxWaiting, s.HeldFor)
	check(s.KeepFor >= 24*time.Hour, "keys bind for 24 h, sagas are kept only %v", s.KeepFor)
	return errors.Join(problems...)
}
