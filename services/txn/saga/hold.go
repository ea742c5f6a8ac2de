package saga

import (
	"context"
	"sync/atomic"
	"time"

	"bookstore/services/platform/wait"
)

// hold keeps sagas from calling outside the shop after its databases were
// brought back to a point in time: what they asked for between that point and
// the restore is on record out there and no longer here. They wait until an
// operator has compared the two and ends the hold; sagas begun since do not.
//
// Whoever restores stops all coordinators first. So the store is asked when one
// starts, and again only until there is no hold; before the first answer, all
// are held.
type hold struct{ before atomic.Pointer[time.Time] }

// holds tells whether what is due must not be done yet. The saga stays as it
// is: no try is counted, and it is claimed again later.
func (h *hold) holds(d Definition, s Saga, due Due) bool {
	step, ok := d.step(due.Step)
	if !ok || !step.outside {
		return false
	}
	before := h.before.Load()
	return before == nil || s.CreatedAt.Before(*before)
}

// heldBack tells whether a saga that has been claimed is to wait for the end of a
// hold. Such sagas are put off, for longer than a lease: where there are many, to
// claim them again and again would delay the others.
func (e *Engine) heldBack(s Saga) bool {
	d, ok := e.definitions[s.Definition]
	if !ok || e.hold.before.Load() == nil {
		return false
	}
	due := d.Due(s, e.now())
	return (due.Op == Do || due.Op == Undo) && e.hold.holds(d, s, due)
}

// readHold reads the hold from the store once, for as long as a call may take, and tells whether
// it has to be asked again.
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
		e.Log.WarnContext(ctx, "sagas begun before a restore make no call outside the shop until an operator ends the hold",
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
