package gateway

import (
	"sync"
	"time"
)

// budgetWindow is the number of seconds for which calls and resends are counted.
const budgetWindow = 10

// budget is a retry budget: it bounds the gateway's retries to a share of all calls, so that retries cannot keep a failing
// service down. The library's budget counts calls in flight, which does not see calls that fail at once.
type budget struct {
	share float64 // of the calls of the window
	least int     // resends in a window that are always granted
	start time.Time

	mu    sync.Mutex
	slots [budgetWindow]budgetSlot
}

type budgetSlot struct {
	second         int64 // since start
	calls, resends int
}

func newBudget(share float64, least int) *budget {
	return &budget{share: share, least: least, start: time.Now()}
}

// called counts a call.
func (b *budget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slot().calls++
}

// resend takes one resend from the budget; false when it is spent.
func (b *budget) resend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.slot()
	calls, resends := 0, 0
	for _, s := range b.slots {
		if s.second > now.second-budgetWindow {
			calls += s.calls
			resends += s.resends
		}
	}
	if float64(resends+1) > max(b.share*float64(calls), float64(b.least)) {
		return false
	}
	now.resends++
	return true
}

// slot is that of this second.
func (b *budget) slot() *budgetSlot {
	second := int64(time.Since(b.start) / time.Second)
	s := &b.slots[second%budgetWindow]
	if s.second != second {
		*s = budgetSlot{second: second}
	}
	return s
}
