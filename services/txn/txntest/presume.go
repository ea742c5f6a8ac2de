package txntest

import "bookstore/services/txn/twophase"

// Sight is what a store knows about a gid when it is asked about.
type Sight struct {
	Found  bool
	State  twophase.State
	Lapsed bool // the owner's lease is over
	Late   bool // the deadline has passed
}

// Presume is the rule that every store's Ask carries out, written down a second
// time, for tests: in which state an attempt is once somebody has asked about it.
// No commit on record means abort, unless the owner may still decide on one:
// it is alive and has time. Whoever asks writes the abort down, so that the
// owner, should it wake up, finds it.
func Presume(s Sight) twophase.State {
	event := twophase.LeaseLapsed
	switch {
	case !s.Found:
		return twophase.Aborted
	case s.Late:
		event = twophase.DeadlinePassed
	case !s.Lapsed:
		return s.State
	}
	next, _ := twophase.Next(s.State, event)
	return next
}
