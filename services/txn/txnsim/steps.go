package txnsim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
)

// stepMarker is a row of step_markers.
type stepMarker struct {
	state   saga.StepState // Done, Refused or Undone; Undone is a tombstone too
	refusal error
	change  *Change // that made it, for its undo
}

// effect is something that a step did to its database.
type effect struct {
	step string
	op   saga.Op
}

// do does what participant.Do does: the work and its marker in one transaction.
func (d *Database) do(c saga.Call, payload []byte) error {
	work, found := d.steps[c.Step]
	if !found {
		return fault.Newf(fault.Internal, "%s has no step %s", d.Name, c.Step)
	}
	life, err := d.connect()
	if err != nil {
		return err
	}
	change, earlier, err := d.markStep(life, stepKey(c))
	switch {
	case err != nil:
		return err
	case earlier != nil && earlier.state == saga.Undone:
		return fault.New(fault.Aborted, "the step has been undone")
	case earlier != nil:
		return earlier.refusal
	}
	err = work(change, payload)
	if err != nil && !fault.Decides(err) {
		d.discard(change)
		return err
	}
	return d.statement(life, func() error {
		d.end(change)
		if err != nil {
			d.made[change.id] = &stepMarker{state: saga.Refused, refusal: err}
			return err
		}
		d.made[change.id] = &stepMarker{state: saga.Done, change: change}
		d.w.took(c, saga.Do)
		for _, effect := range change.effects {
			effect()
		}
		return nil
	})
}

func stepKey(c saga.Call) string { return c.Saga + " " + c.Step }

// markStep begins a change unless the step has a marker. It waits for another call about
// the same step.
func (d *Database) markStep(life int, key string) (c *Change, earlier *stepMarker, err error) {
	err = d.await(life, func() bool {
		if earlier = d.made[key]; earlier != nil && (d.w.defect != StepAgain || earlier.state != saga.Done) {
			return true
		}
		if earlier = nil; d.begun[key] != nil {
			return false
		}
		c = &Change{d: d, id: key, life: life}
		d.begun[key] = c
		return true
	})
	return c, earlier, err
}

// undo does what participant.Undo does: it takes back what was done, and leaves a marker
// that refuses a step that comes later.
func (d *Database) undo(c saga.Call) error {
	life, err := d.connect()
	if err != nil {
		return err
	}
	key := stepKey(c)
	var made *stepMarker
	var reversal *Change
	err = d.await(life, func() bool {
		if d.begun[key] != nil {
			return false
		}
		made = d.made[key]
		switch {
		case made != nil && made.state == saga.Done:
			reversal = &Change{d: d, id: key, life: life}
			d.begun[key] = reversal
		case made != nil || d.w.defect != NoStepTombstone:
			d.made[key] = &stepMarker{state: saga.Undone}
		}
		return true
	})
	if err != nil || reversal == nil {
		return err
	}
	for _, row := range made.change.rows {
		if err := reversal.Lock(row); err != nil {
			d.discard(reversal)
			return err
		}
	}
	return d.statement(life, func() error {
		d.end(reversal)
		d.made[key] = &stepMarker{state: saga.Undone}
		if len(made.change.undo) > 0 {
			d.w.took(c, saga.Undo)
		}
		for _, undo := range slices.Backward(made.change.undo) {
			undo()
		}
		return nil
	})
}

// took records an effect of a step, in the sequence of all of its saga's.
func (w *World) took(c saga.Call, op saga.Op) {
	w.Tellf("%s of saga %s: %s", c.Step, c.Saga, op)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.effects[c.Saga] = append(w.effects[c.Saga], effect{c.Step, op})
}

// steps is a participant of sagas as one coordinator reaches it.
type steps struct {
	p *Process
	d *Database
}

var _ saga.Participant = steps{}

func (s steps) call(ctx context.Context, op saga.Op, c saga.Call, do func() error) error {
	name := fmt.Sprintf("%s: %s %s of %s at %s", s.p.Name, op, c.Step, c.Saga, s.d.Name)
	_, err := Send(ctx, s.p, name, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// Do implements saga.Participant.
func (s steps) Do(ctx context.Context, c saga.Call, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fault.Wrap("encode a payload", err)
	}
	return s.call(ctx, saga.Do, c, func() error { return s.d.do(c, body) })
}

// Undo implements saga.Participant.
func (s steps) Undo(ctx context.Context, c saga.Call) error {
	return s.call(ctx, saga.Undo, c, func() error { return s.d.undo(c) })
}
