package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// absence says that no book has an id above some id: one entry answers for all
// the ids that anybody may think of.
type absence struct {
	above      int64
	generation uint64 // of the fill that found out
	since      time.Time
}

// absences holds the absence that is known, if any.
type absences struct {
	known atomic.Pointer[absence]
	// raised is the highest id that a floor was ever raised for: whoever has
	// not seen that book yet has asked too early to know what is above.
	raised atomic.Int64
	mu     sync.Mutex // held to change either
}

// raise says that there is a book with this id.
func (a *absences) raise(id int64) {
	if id <= a.raised.Load() {
		return // what is known was learnt with that id in sight
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.raised.Store(max(id, a.raised.Load()))
	if known := a.known.Load(); known != nil && known.above < id {
		a.known.Store(nil)
	}
}

func (a *absences) learn(found absence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found.generation != 0 && found.above >= a.raised.Load() {
		a.known.Store(&found)
	}
}
