package saga

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// Request describes the saga that a client requests.
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

// Wake is the time from now until a saga may be claimed, by the database's clock;
// Never after its end.
type Wake time.Duration

// Never is the wake of a saga that is over.
const Never Wake = -1

// News is what clients are shown of a change.
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

// writer stores the changes of many sagas in one statement: those that arrive while
// earlier statements are in flight. So they share a round trip and a flush to disk.
type writer struct {
	store   Store
	timeout time.Duration // of one statement
	alive   context.Context
	changes chan pending
	over    chan struct{} // closed when no change is accepted any more
	writing sync.WaitGroup
}

type pending struct {
	change Change
	done   chan<- result
}

type result struct {
	applied bool
	err     error
}

const (
	// Two statements in flight: one is sent while the other's answer is read.
	writers   = 2
	mostAtOne = 128
)

func newWriter(alive context.Context, store Store, timeout time.Duration) *writer {
	return &writer{store: store, timeout: timeout, alive: alive, changes: make(chan pending), over: make(chan struct{})}
}

func (w *writer) start() {
	for range writers {
		w.writing.Go(w.write)
	}
}

// stop waits for the changes that were accepted, and refuses later ones.
func (w *writer) stop() {
	close(w.over)
	w.writing.Wait()
}

// advance gives a change to the writer and waits until it is stored. Once accepted,
// it is stored whether or not ctx ends. After a statement without an answer within
// the time-out it is unknown whether its changes are stored: the connection is
// closed on this side alone, because a wait for a standby must not be cancelled.
func (w *writer) advance(ctx context.Context, c Change) (bool, error) {
	done := make(chan result, 1)
	select {
	case w.changes <- pending{change: c, done: done}:
	case <-w.over:
		return false, fault.New(fault.Unavailable, "this instance is stopping; ask again")
	case <-ctx.Done():
		return false, fault.Wrap("store a saga's change", ctx.Err())
	}
	select {
	case r := <-done:
		return r.applied, r.err
	case <-ctx.Done():
		return false, fault.Wrap("store a saga's change", ctx.Err())
	}
}

func (w *writer) write() {
	for {
		select {
		case first := <-w.changes:
			w.writeBatch(w.collect(first))
		case <-w.over:
			return
		}
	}
}

// collect adds the other changes that wait to be written.
func (w *writer) collect(first pending) []pending {
	batch := []pending{first}
	for len(batch) < mostAtOne {
		select {
		case next := <-w.changes:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (w *writer) writeBatch(batch []pending) {
	changes := make([]Change, len(batch))
	for i, p := range batch {
		changes[i] = p.change
	}
	ctx, cancel := context.WithTimeout(w.alive, w.timeout)
	defer cancel()
	applied, err := w.store.Advance(ctx, changes)
	for i, p := range batch {
		p.done <- result{applied: err == nil && applied[i], err: err}
	}
}
