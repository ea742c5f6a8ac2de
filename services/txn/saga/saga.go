// Package saga runs long transactions: steps in several services, one after the
// other, each durable before the next, and undone backwards when one of them
// cannot be made. What may happen is a pure function (next.go); the engine
// stores what it returns before it makes the call that follows.
//
// A call to a participant is done, refused or unknown. An unknown call is repeated
// with the same key, and a step whose outcome is unknown is undone like one that was
// done: a participant that has not received it yet then refuses it.
package saga

import (
	"encoding/json"
	"slices"
	"time"

	"bookstore/services/platform/fault"
)

// State is where a saga stands.
//
//	                  all steps done
//	running ──────────────────────────────────► completed
//	 │ ▲ └────────► waiting_approval
//	 │ └───────────────┘ │ approved            before the pivot only:
//	 │ refused, cancelled, deadline passed ◄── cancelled, deadline passed
//	 ▼                   ▼
//	compensating ─────────────────────────────► cancelled, failed
//	 │ ▲              all steps undone
//	 ▼ │ a try succeeds
//	stuck   a call that has to succeed keeps failing; from running too, past the pivot
type State string

// The states of a saga.
const (
	Running         State = "running"
	WaitingApproval State = "waiting_approval"
	Compensating    State = "compensating"
	Stuck           State = "stuck"
	Completed       State = "completed"
	Cancelled       State = "cancelled"
	Failed          State = "failed"
)

// States lists every state.
func States() []State {
	return []State{Running, WaitingApproval, Compensating, Stuck, Completed, Cancelled, Failed}
}

// Final tells whether nothing happens any more.
func (s State) Final() bool { return s == Completed || s == Cancelled || s == Failed }

// StepState is where one step stands.
type StepState string

// The states of a step. Doing is stored before the participant is called to do it,
// and Undoing before it is called to undo it.
const (
	Pending StepState = "pending"
	Doing   StepState = "running"
	Done    StepState = "done"
	Refused StepState = "refused"
	Undoing StepState = "compensating"
	Undone  StepState = "compensated"
)

// Saga is a row of sagas.
type Saga struct {
	ID         string // UUID version 7
	Definition string
	Caller     string
	Key        string // Idempotency-Key; "" when its 24 hours are over
	State      State
	Steps      []Step
	Data       json.RawMessage // what the definition's steps need
	Cause      *Cause          // why it is being undone, nil while it is not
	Failures   int             // of the call that is due, since it last succeeded
	Deadline   time.Time       // of the pivot's start
	Version    int64           // one more with every change
	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time // zero until then
}

// Step is one step of a saga, as far as it has come.
type Step struct {
	Name       string    `json:"name"`
	State      StepState `json:"state"`
	Attempts   int       `json:"attempts"` // calls made, undoing included
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Error      *Cause    `json:"error,omitempty"` // of the last call that failed
}

// Cause is a fault as it is stored and shown: it holds nothing internal.
type Cause struct {
	Code    string        `json:"code"`
	Message string        `json:"message,omitempty"`
	Details fault.Details `json:"details,omitempty"`
}

// The causes that no participant gives.
const (
	causeCancelled = "cancelled"
	causeDeadline  = "deadline_exceeded"
)

// CauseOf is what is kept of err.
func CauseOf(err error) *Cause {
	f := fault.As(err)
	return &Cause{Code: f.Kind.Code(), Message: f.Message, Details: f.Details}
}

// StepDone tells whether the named step is done and still stands.
func (s Saga) StepDone(name string) bool {
	for _, step := range s.Steps {
		if step.Name == name {
			return step.State == Done
		}
	}
	return false
}

// at returns the index of the first step in one of the states, -1 if none is.
func (s Saga) at(states ...StepState) int {
	for i, step := range s.Steps {
		if slices.Contains(states, step.State) {
			return i
		}
	}
	return -1
}
