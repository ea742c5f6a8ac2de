package saga

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
)

// drive makes one call after the other until the saga has to wait, is over, or
// turns out to have been changed by someone else, who drives it then. Whatever
// is left here is claimed again when its lease is over.
func (e *Engine) drive(ctx context.Context, s Saga) {
	d, ok := e.definitions[s.Definition]
	if !ok {
		e.Log.ErrorContext(ctx, "no saga is defined by this name", "saga", s.ID, "definition", s.Definition)
		return
	}
	for taken := s.Version; !e.workers.isClosed(); {
		now := e.now()
		due := d.Due(s, now)
		var happened Event
		switch due.Op {
		case Nothing:
			return
		case Wait:
			if s.Version == taken {
				e.sleepOn(ctx, s, due.At.Sub(now))
			}
			return
		case Expire:
			happened = Event{Kind: DeadlinePassed, At: now}
		default:
			if e.hold.holds(d, s, due) {
				return
			}
			happened = e.call(ctx, d, s, due)
		}
		next, ok := d.Next(s, happened)
		if !ok {
			e.Log.ErrorContext(ctx, "an answer means nothing to its saga", "saga", s.ID, "event", happened.Kind, "step", happened.Step)
			return
		}
		if next, ok = e.store(ctx, d, s, next); !ok {
			return
		}
		s = next
	}
}

// sleepOn has a saga wake when it is due that was taken before: because two
// readings of the clock differ a little, or because it waits for an approval
// from its beginning. Otherwise it would sleep until its lease is over.
func (e *Engine) sleepOn(ctx context.Context, s Saga, wake time.Duration) {
	if err := e.postpone(ctx, []Saga{s}, wake); err != nil {
		e.Log.WarnContext(ctx, "a saga sleeps until its lease is over", "saga", s.ID, "error", err)
	}
}

// call asks the participant of the step that is due.
func (e *Engine) call(ctx context.Context, d Definition, s Saga, due Due) Event {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, e.Settings.CallTimeout)
	defer cancel()
	err := e.ask(ctx, d, s, due)
	happened := event(due.Op, due.Step, err, e.now())
	e.Metrics.called(s.Definition, due, happened, time.Since(began))
	if err != nil && happened.Kind != StepRefused {
		e.Log.WarnContext(ctx, "a step came to nothing", "saga", s.ID, "definition", s.Definition,
			"step", due.Step, "op", due.Op, "failures", s.Failures+1, "error", err)
	}
	return happened
}

func (e *Engine) ask(ctx context.Context, d Definition, s Saga, due Due) error {
	step, ok := d.step(due.Step)
	if !ok {
		return fault.Newf(fault.Internal, "saga %s has no step %q", s.Definition, due.Step)
	}
	participant, c := e.Participants[step.at], Call{Saga: s.ID, Step: step.name}
	if due.Op == Undo {
		return participant.Undo(ctx, c)
	}
	payload, err := step.send(s.Data)
	if err != nil {
		return err
	}
	return participant.Do(ctx, c, payload)
}

// store makes a change durable, and reports false when it has not become so,
// or may not have.
func (e *Engine) store(ctx context.Context, d Definition, before, after Saga) (Saga, bool) {
	change := Change{Saga: after, Wake: e.wake(d, after), News: newsOf(before, after)}
	applied, err := e.writer.advance(ctx, change)
	if err != nil {
		e.Log.WarnContext(ctx, "a saga's change is not known to be stored: it is claimed again", "saga", after.ID, "error", err)
		return Saga{}, false
	}
	if applied {
		after.Version++
		e.Metrics.changed(before, after)
		if after.State == Stuck && before.State != Stuck {
			e.Log.ErrorContext(ctx, "a saga is stuck", "saga", after.ID, "definition", after.Definition, "failures", after.Failures)
		}
	}
	return after, applied
}

// wake is when someone else may take the saga: after the lease while it is
// driven on, or when it has waited.
func (e *Engine) wake(d Definition, s Saga) Wake {
	now := e.now()
	switch due := d.Due(s, now); due.Op {
	case Nothing:
		return Never
	case Wait:
		return Wake(max(0, due.At.Sub(now)))
	default:
		return Wake(e.Settings.Lease)
	}
}

// newsOf tells what of a change can be seen from outside.
func newsOf(before, after Saga) News {
	n := News{State: after.State, Cause: after.Cause}
	for i, step := range after.Steps {
		if i >= len(before.Steps) || step.State != before.Steps[i].State || step.Attempts != before.Steps[i].Attempts {
			n.Steps = append(n.Steps, step)
		}
	}
	return n
}
