package saga

import (
	"context"
	"encoding/json"
	"time"
)

// Request asks for a saga.
type Request struct {
	Caller      string
	Key         string // Idempotency-Key
	RequestHash []byte // tells two requests under one key apart
	Data        any    // what the definition's steps need to know
	Time        time.Duration
}

// Outcome is the answer that an Idempotency-Key is bound to; repeats get the same.
type Outcome struct {
	Status int
	Body   json.RawMessage
}

// Earlier is the saga that a key is bound to.
type Earlier struct {
	Saga

	RequestHash []byte
	Outcome     Outcome
}

// New is a saga to be stored.
type New struct {
	Saga

	RequestHash []byte
	Outcome     Outcome
	Wake        Wake
}

// Change is a saga as it shall be, if it still has the version it was read
// with.
type Change struct {
	Saga

	Wake Wake
	News News
}

// Wake is when a saga wants to be looked at next, from now on by the
// database's clock; Never is after its end.
type Wake time.Duration

// Never is the wake of a saga that is over.
const Never Wake = -1

// News is what a change looks like from outside.
type News struct {
	State State  `json:"state"`
	Steps []Step `json:"steps,omitempty"` // those that changed
	Cause *Cause `json:"cause,omitempty"`
}

// Logged is news as it was stored. Seq grows with each of a saga's.
type Logged struct {
	Seq  int64
	At   time.Time
	News News
}

// Store keeps sagas. Times come from the database's clock, those that it
// compares and those that the engine stores.
type Store interface {
	// Now reads the database's clock.
	Now(ctx context.Context) (time.Time, error)
	// Create stores a saga, and reports false when its caller's key is taken.
	Create(ctx context.Context, n New) (bool, error)
	// Find returns the saga under a caller's key, nil if there is none or it is
	// older than the key's 24 hours.
	Find(ctx context.Context, caller, key string) (*Earlier, error)
	// Get returns a saga of this definition, or fault.NotFound.
	Get(ctx context.Context, definition, id string) (Saga, error)
	// Claim gives out up to limit sagas whose time has come, each to one caller
	// only, and makes them wake again after lease. Whoever had one before finds
	// its version changed.
	Claim(ctx context.Context, limit int, lease time.Duration) ([]Saga, error)
	// Postpone makes those sagas wake after a while that still have their
	// versions. Nothing else about them changes.
	Postpone(ctx context.Context, sagas []Saga, wake time.Duration) error
	// Advance makes those changes whose versions still match, and tells which
	// did. An error leaves all of them open.
	Advance(ctx context.Context, changes []Change) ([]bool, error)
	// News returns what happened to a saga after seq, in order, and whether
	// there will be more.
	News(ctx context.Context, definition, id string, seq int64) (news []Logged, more bool, err error)
	// Unfinished counts what is not over, by definition and state.
	Unfinished(ctx context.Context) (map[string]map[State]int, error)
	// Hold is the moment before which sagas must have been begun to be held; the
	// zero time is that none are.
	Hold(ctx context.Context) (time.Time, error)
}

// Participant is a service that makes steps. Every call may be repeated; nil is
// done, otherwise the error is a refusal or leaves the matter open
// (fault.Refused, fault.Unknown).
type Participant interface {
	Do(ctx context.Context, c Call, payload any) error
	Undo(ctx context.Context, c Call) error
}

// Call names a step to its participant: the key by which it knows a repeat.
type Call struct {
	Saga string
	Step string
}
