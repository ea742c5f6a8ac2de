package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// absence says that no book has an id above some id. One entry answers for all ids that do not exist (a negative cache).
type absence struct {
	above      int64
	generation uint64 // of the fill that found it
	since      time.Time
}

// absences holds the current absence, if there is one.
type absences struct {
	known atomic.Pointer[absence]
	// raised is the highest id that a floor was ever raised for. A fill that found a lower highest id read too early.
	raised atomic.Int64
	mu     sync.Mutex // held to change either
}

// raise drops the absence if it denies this id, which is in use.
func (a *absences) raise(id int64) {
	if id <= a.raised.Load() {
		return // every absence since then has taken that id into account
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
