package saga

import (
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

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

// Due reads a saga; now is by the database's clock. Like Next it is pure: two
// coordinators that hold the same row would do the same.
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

// pauses of a saga whose calls fail; what is stuck is tried once a minute, for nothing is ever dropped.
var pauses = wait.Backoff{First: 50 * time.Millisecond, Most: 15 * time.Second}

func backoff(s Saga) time.Duration {
	if s.State == Stuck {
		return time.Minute
	}
	return pauses.After(s.Failures)
}

// event reads a participant's answer. Only a refusal that speaks about the step
// itself counts as one: whatever else there is, from a locked row to a proxy
// that knows no route, is asked again.
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
