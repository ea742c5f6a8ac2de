package txntest

import "bookstore/services/txn/twophase"

// Record is what a store holds about a gid before Store.Presume.
type Record struct {
	Found  bool
	State  twophase.State
	Lapsed bool // the owner's lease is over
	Late   bool // the deadline has passed
}

// Presume is the rule of Store.Presume as a function, for tests of stores: the state
// of an attempt after the call. No commit on record means abort, unless the owner may
// still decide to commit: its lease is live and the deadline has not passed.
func Presume(r Record) twophase.State {
	event := twophase.LeaseLapsed
	switch {
	case !r.Found:
		return twophase.Aborted
	case r.Late:
		event = twophase.DeadlinePassed
	case !r.Lapsed:
		return r.State
	}
	next, _ := twophase.Next(r.State, event)
	return next
}
