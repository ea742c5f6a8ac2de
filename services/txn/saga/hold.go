package saga

import (
	"context"
	"sync/atomic"
	"time"

	"bookstore/services/platform/wait"
)

// hold keeps sagas from calling outside systems after the databases were restored to
// a point in time: calls made between that point and the restore are on record
// outside and no longer here. Held sagas wait until an operator has compared the two
// and ends the hold. Sagas begun after the restore are not held.
//
// A restore stops all coordinators first. So an engine reads the hold when it starts,
// and again only while there is one. Before the first answer, all sagas are held.
type hold struct{ before atomic.Pointer[time.Time] }

// holds tells whether the call that is due must wait. The saga does not change: no
// try is counted, and it is claimed again later.
func (h *hold) holds(d Definition, s Saga, due Due) bool {
	step, ok := d.step(due.Step)
	if !ok || !step.outside {
		return false
	}
	before := h.before.Load()
	return before == nil || s.CreatedAt.Before(*before)
}

// heldBack tells whether a claimed saga has to wait for the end of a hold. Such sagas
// are postponed for longer than a lease, because claiming many of them again and
// again would delay the others.
func (e *Engine) heldBack(s Saga) bool {
	d, ok := e.definitions[s.Definition]
	if !ok || e.hold.before.Load() == nil {
		return false
	}
	due := d.Due(s, e.now())
	return (due.Op == Do || due.Op == Undo) && e.hold.holds(d, s, due)
}

// readHold reads the hold from the store once, for as long as a call may take, and tells whether
// it has to be read again.
func (e *Engine) readHold(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.CallTimeout)
	defer cancel()
	before, err := e.Store.Hold(ctx)
	if err != nil {
		return true
	}
	first := e.hold.before.Swap(&before) == nil
	switch {
	case before.IsZero():
		e.Metrics.held.Set(0)
	case first:
		e.Log.WarnContext(ctx, "sagas begun before a restore make no call to outside systems until an operator ends the hold",
			"before", before)
	}
	return !before.IsZero()
}

// watchHold returns once there is no hold.
func (e *Engine) watchHold(ctx context.Context) {
	for wait.For(ctx, e.Settings.HoldEvery) {
		if !e.readHold(ctx) {
			e.Log.InfoContext(ctx, "no saga is held")
			return
		}
	}
}
