package saga

import (
	"net/http"
	"slices"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// EventKind says what happened to a saga.
type EventKind string

// The events.
const (
	StepDone       EventKind = "step_done"
	StepRefused    EventKind = "step_refused"
	StepUnknown    EventKind = "step_unknown"
	StepUndone     EventKind = "step_undone"
	UndoFailed     EventKind = "undo_failed" // unknown, or refused, which must not be
	Approved       EventKind = "approved"
	CancelAsked    EventKind = "cancel_asked"
	DeadlinePassed EventKind = "deadline_passed"
)

// EventKinds lists every event.
func EventKinds() []EventKind {
	return []EventKind{StepDone, StepRefused, StepUnknown, StepUndone, UndoFailed, Approved, CancelAsked, DeadlinePassed}
}

// Event is something that happened to a saga.
type Event struct {
	Kind  EventKind
	Step  string // that the answer is about; "" with the last three
	Cause *Cause // of a refusal or failure
	At    time.Time
}

// patience is after how many failures of a call that must succeed a saga is stuck:
// with the pauses of backoff, a little more than a minute.
const patience = 14

// Next is the transition function: the saga after e, and whether e applies to it as
// it stands. An event that does not apply changes nothing, so late and repeated
// answers are harmless.
func (d Definition) Next(s Saga, e Event) (Saga, bool) {
	if s.State.Final() {
		return s, false
	}
	s.Steps = slices.Clone(s.Steps)
	switch e.Kind {
	case StepDone, StepRefused, StepUnknown:
		return d.answered(s, e)
	case StepUndone, UndoFailed:
		return d.undoAnswered(s, e)
	case Approved:
		if s.State != WaitingApproval {
			return s, false
		}
		return d.stepDone(s, s.at(Doing), e.At), true
	case CancelAsked:
		return d.giveUp(s, &Cause{Code: causeCancelled}, e.At)
	case DeadlinePassed:
		return d.giveUp(s, &Cause{Code: causeDeadline, Message: "not finished in time"}, e.At)
	}
	return s, false
}

// answered takes a participant's answer to a step that is being made.
func (d Definition) answered(s Saga, e Event) (Saga, bool) {
	i := s.at(Doing)
	if i < 0 || s.Steps[i].Name != e.Step || s.State == WaitingApproval {
		return s, false
	}
	step := &s.Steps[i]
	step.Attempts++
	s.UpdatedAt = e.At
	switch {
	case e.Kind == StepDone:
		return d.stepDone(s, i, e.At), true
	case e.Kind == StepRefused && !d.noWayBack(s):
		step.State, step.Error, step.FinishedAt = Refused, e.Cause, e.At
		return d.backward(s, e.Cause, e.At), true
	case e.Kind == StepRefused:
		step.Error = e.Cause
		s.State = Stuck
	default:
		step.Error = e.Cause
	}
	return d.failed(s, d.pastPivot(s)), true
}

func (d Definition) stepDone(s Saga, i int, at time.Time) Saga {
	s.Steps[i].State, s.Steps[i].FinishedAt, s.Steps[i].Error = Done, at, nil
	return d.forward(s, at)
}

// undoAnswered takes a participant's answer to a step that is being undone.
func (d Definition) undoAnswered(s Saga, e Event) (Saga, bool) {
	i := s.at(Undoing)
	if i < 0 || s.Steps[i].Name != e.Step {
		return s, false
	}
	step := &s.Steps[i]
	step.Attempts++
	s.UpdatedAt = e.At
	if e.Kind == UndoFailed {
		step.Error = e.Cause
		return d.failed(s, true), true
	}
	step.State, step.FinishedAt, step.Error = Undone, e.At, nil
	return d.backward(s, s.Cause, e.At), true
}

// failed counts a failed call. One that must succeed makes the saga stuck after
// patience failures.
func (d Definition) failed(s Saga, must bool) Saga {
	s.Failures++
	if must && s.Failures >= patience {
		s.State = Stuck
	}
	return s
}

// forward begins the next step, or ends the saga.
func (d Definition) forward(s Saga, at time.Time) Saga {
	s.Failures, s.UpdatedAt = 0, at
	i := s.at(Pending)
	if i < 0 {
		s.State, s.FinishedAt = Completed, at
		return s
	}
	s.Steps[i].State, s.Steps[i].StartedAt = Doing, at
	s.State = Running
	if defined, ok := d.step(s.Steps[i].Name); ok && defined.approval() {
		s.State = WaitingApproval
	}
	return s
}

// giveUp undoes a saga that has not come to its pivot.
func (d Definition) giveUp(s Saga, cause *Cause, at time.Time) (Saga, bool) {
	if d.pastPivot(s) || s.State == Compensating || s.at(Undoing) >= 0 {
		return s, false
	}
	return d.backward(s, cause, at), true
}

// backward begins to undo the last step that was made or may have been, or ends
// the saga.
func (d Definition) backward(s Saga, cause *Cause, at time.Time) Saga {
	s.State, s.Cause, s.Failures, s.UpdatedAt = Compensating, cause, 0, at
	for i := len(s.Steps) - 1; i >= 0; i-- {
		step := &s.Steps[i]
		if step.State != Doing && step.State != Done {
			continue
		}
		if defined, ok := d.step(step.Name); ok && defined.undo {
			step.State = Undoing
			return s
		}
		step.State, step.FinishedAt = Undone, at
	}
	s.State, s.FinishedAt = Failed, at
	if cause.Code == causeCancelled {
		s.State = Cancelled
	}
	return s
}

// noWayBack tells whether the pivot has been made and cannot be undone.
func (d Definition) noWayBack(s Saga) bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool {
		defined, ok := d.step(step.Name)
		return ok && defined.pivot && !defined.undo && step.State == Done
	})
}

// PastPivot refuses to cancel a saga that can only go on.
var PastPivot = fault.Define("past_pivot", http.StatusConflict, "The saga is past its pivot", fault.Decided, fault.Never)

// CannotCancel is why a saga cannot be cancelled as it stands; nil if it is being
// undone, or has been.
func (d Definition) CannotCancel(s Saga) error {
	if s.State == Completed || (d.pastPivot(s) && s.Cause == nil) {
		return fault.New(PastPivot, "it has gone too far to be cancelled")
	}
	return nil
}

// Op is what a saga needs next.
type Op string

// The operations.
const (
	Nothing Op = "nothing" // it is over
	Wait    Op = "wait"    // until Due.At, or until someone approves
	Do      Op = "do"
	Undo    Op = "undo"
	Expire  Op = "expire" // its deadline has passed: DeadlinePassed
)

// Due is what a saga needs next, and when.
type Due struct {
	Op   Op
	Step string
	At   time.Time
}

// Due tells what a saga needs next; now is by the database's clock. Like Next it is
// pure: two coordinators with the same row do the same.
func (d Definition) Due(s Saga, now time.Time) Due {
	if s.State.Final() {
		return Due{Op: Nothing}
	}
	mayExpire := !d.pastPivot(s) && (s.State == Running || s.State == WaitingApproval)
	if mayExpire && !now.Before(s.Deadline) {
		return Due{Op: Expire, At: now}
	}
	due := Due{Op: Do, At: s.UpdatedAt}
	i := s.at(Doing)
	switch {
	case s.State == WaitingApproval:
		return Due{Op: Wait, At: s.Deadline}
	case s.at(Undoing) >= 0:
		i, due.Op = s.at(Undoing), Undo
	}
	due.Step = s.Steps[i].Name
	if s.Failures == 0 {
		return due
	}
	due.At = due.At.Add(backoff(s))
	if mayExpire && s.Deadline.Before(due.At) {
		due.At = s.Deadline
	}
	if now.Before(due.At) {
		return Due{Op: Wait, Step: due.Step, At: due.At}
	}
	return due
}

// pauses are those of a saga whose calls fail. A stuck saga is tried once a minute, without end.
var pauses = wait.Backoff{First: 50 * time.Millisecond, Most: 15 * time.Second}

func backoff(s Saga) time.Duration {
	if s.State == Stuck {
		return time.Minute
	}
	return pauses.After(s.Failures)
}

// event reads a participant's answer. Only a refusal that decides about the step
// itself counts as one. After anything else, such as a locked row or a proxy without
// a route, the call is repeated.
func event(op Op, step string, err error, at time.Time) Event {
	e := Event{Step: step, At: at.UTC().Truncate(time.Microsecond)}
	if err != nil {
		e.Cause = CauseOf(err)
	}
	switch {
	case op == Undo && err == nil:
		e.Kind = StepUndone
	case op == Undo:
		e.Kind = UndoFailed
	case err == nil:
		e.Kind = StepDone
	case fault.Decides(err):
		e.Kind = StepRefused
	default:
		e.Kind = StepUnknown
	}
	return e
}
