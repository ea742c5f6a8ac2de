package coordinator

import "bytes"

// Action is what a request does about an attempt it finds under its key.
type Action string

// The actions.
const (
	ActAgain    Action = "again"     // begin a new attempt
	ActReplay   Action = "replay"    // answer with the outcome that stands
	ActReused   Action = "reused"    // refuse: the key belongs to another request
	ActWait     Action = "wait"      // it is running: look again soon
	ActTakeOver Action = "take_over" // its owner is gone: drive it to its end, then look again
	ActDoubt    Action = "doubt"     // it ended in a heuristic outcome, which only people can settle
)

// Look decides what a request with this hash does about the latest attempt
// under its key. A commit is replayed only when it is finished: the answer
// promises an order that can be read.
func Look(l Latest, requestHash []byte) Action {
	unfinished := l.State == Preparing || l.State == Committing
	switch {
	case l.Expired && !unfinished:
		return ActAgain
	case !bytes.Equal(l.RequestHash, requestHash):
		return ActReused
	case unfinished && l.Lapsed:
		return ActTakeOver
	case unfinished:
		return ActWait
	case l.State == Heuristic:
		return ActDoubt
	case l.Outcome != nil:
		return ActReplay
	}
	return ActAgain
}
