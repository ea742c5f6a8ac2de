package twophase

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// Request is what a use case gives the engine: a claim under a key, and how to plan
// the work of each attempt's branches.
type Request struct {
	Claim
	// Wants are the resources that the request queues for (queue.go).
	Wants []Want
	// Holder is the branch that locks the rows of Wants. Once it has acknowledged,
	// the next request in the queue goes on.
	Holder string
	// Plan works out an attempt's work. Its error is judged like a branch's vote.
	Plan func(ctx context.Context, tx Transaction) (Work, error)
	// Shortages reads from a branch's refusal which resources are short, to refuse
	// requests that wait for them. Nil reads nothing.
	Shortages func(refusal *fault.Error) []Shortage
}

// Work is what the branches of an attempt have to do, and its outcome if all can.
type Work struct {
	Payloads map[string]any // by branch
	// Ordered branches are prepared one after the other, as they stand in the
	// claim; otherwise in parallel.
	Ordered bool
	Outcome *Outcome
}

// Result is a request's outcome; a refusal is an error beside it.
type Result struct {
	Outcome         // zero beside an error
	Payload  []byte // of the attempt that was committed: JSON
	Replayed bool   // it is the outcome of an earlier request under the key
}

// Success is the outcome of a request that succeeded; status is 200 to 299.
func Success(status int, body any) (*Outcome, error) {
	encoded, err := json.Marshal(body)
	return &Outcome{Status: status, Body: encoded}, fault.Wrap("encode an outcome", err)
}

// refusal is how a definite "no" is kept.
type refusal struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Fields  []fault.Field `json:"fields,omitempty"`
	Details fault.Details `json:"details,omitempty"`
}

// Refusal is the outcome of a request that cannot be met.
func Refusal(err error) *Outcome {
	f := fault.As(err)
	kept := refusal{Code: f.Kind.Code(), Message: f.Message, Fields: f.Fields, Details: f.Details}
	body, err := json.Marshal(kept)
	if err != nil {
		panic("twophase: a refusal that came as JSON does not encode: " + err.Error())
	}
	return &Outcome{Status: f.Kind.Status(), Body: body}
}

// Err is the refusal that an outcome is, the same for the first request and its
// repeats; nil for a success.
func (o Outcome) Err() error {
	if o.Status < http.StatusBadRequest {
		return nil
	}
	var r refusal
	if err := json.Unmarshal(o.Body, &r); err != nil {
		return fault.Wrap("read the stored outcome", err)
	}
	return &fault.Error{
		Kind:    fault.FromProblem(o.Status, r.Code),
		Message: r.Message, Fields: r.Fields, Details: r.Details,
	}
}

// Run brings a request to its outcome: an earlier one under its key, or that
// of up to MaxAttempts attempts of its own. Only a definite refusal is bound to
// the key (VoteOf). Contended, Unavailable, Overloaded, DeadlineExceeded,
// InProgress, OutcomeUnknown and refusals of kinds that are worth another
// attempt leave it open: the same request may be sent again.
func (e *Engine) Run(ctx context.Context, r Request) (Result, error) {
	result, err := e.admit(ctx, &running{Request: r})
	answer := "done"
	if err != nil {
		answer = fault.KindOf(err).Code()
	}
	e.Metrics.answers.WithLabelValues(string(r.Kind), answer).Inc()
	return result, err
}

// running is a request on its way to its outcome.
type running struct {
	Request
	arrived time.Time
	place   *place // in the queues; nil: it has none
	last    *run   // of its latest attempt
}

// admit makes attempts while the request has a place. Without one it reads what
// stands under its key before it queues: so neither a repeat nor a request that
// waits for another with its key takes a place. If there is a place at once, the
// claim itself is that read.
func (e *Engine) admit(ctx context.Context, r *running) (Result, error) {
	r.arrived, r.place = time.Now(), e.queues.atOnce(r.Wants)
	defer r.leave()
	mine := true
	for n, tries := 1, 0; ; {
		if r.place == nil {
			earlier, next, err := e.findEarlier(ctx, r.Claim, n, !mine)
			if earlier != nil {
				return earlier.replay()
			}
			if err == nil {
				n, err = next, e.queue(ctx, r)
			}
			if err != nil {
				return Result{}, err
			}
		}
		var tx Transaction
		var err error
		if tx, mine, err = e.claim(ctx, r.Claim, n); err != nil {
			return Result{}, err
		}
		if !mine {
			r.leave()
			continue
		}
		tries++
		result, again, err := e.attempt(ctx, tx, r)
		if !again || tries == e.settings.MaxAttempts || !worthAnother(ctx) || !wait.For(ctx, retry.Spread(tries)) {
			return result, retryable(err)
		}
		n = tx.Attempt + 1
	}
}

// queue waits for a place. A request that a shortage refuses goes on without a place
// and with the refusal as its plan, since the refusal has to be bound to the key.
func (e *Engine) queue(ctx context.Context, r *running) (err error) {
	waited := e.Metrics.phase("queue")
	r.place, err = e.queues.take(ctx, r.Wants, r.arrived)
	waited()
	var short *shortError
	if !errors.As(err, &short) {
		return err
	}
	r.place, r.Plan = &place{}, func(context.Context, Transaction) (Work, error) { return Work{}, short.refusal }
	return nil
}

// claim claims an attempt; this instance renews its lease from here on.
func (e *Engine) claim(ctx context.Context, c Claim, n int) (Transaction, bool, error) {
	timer := e.Metrics.phase("claim")
	defer timer()
	tx, mine, err := e.Store.Claim(ctx, c, n, e.settings.Owner)
	if mine {
		e.leases.hold(tx.GID)
	}
	return tx, mine, fault.Wrap("claim an attempt", err)
}

// leave gives the place back as soon as the branches of the latest attempt are
// known to be finished.
func (r *running) leave() {
	if r.place == nil {
		return
	}
	held := r.place
	r.place = nil
	if r.last == nil || r.last.over.Err() != nil {
		held.leave()
		return
	}
	held.abandon()
	context.AfterFunc(r.last.rows, held.leaveResources)
	context.AfterFunc(r.last.over, held.leave)
}

// replay answers with the outcome that stands.
func (l Latest) replay() (Result, error) {
	if err := l.Outcome.Err(); err != nil {
		return Result{Replayed: true}, err
	}
	return Result{Outcome: *l.Outcome, Payload: l.Payload, Replayed: true}, nil
}

// retryable tells the client when to come back after a refusal that its key
// is not bound to.
func retryable(err error) error {
	if err == nil || VoteOf(err) != Again {
		return err
	}
	f := *fault.As(err)
	if f.Kind == fault.Aborted {
		f.Kind = fault.Contended
	}
	if f.Kind == fault.Contended {
		f.RetryAfter = max(f.RetryAfter, time.Second)
	}
	return &f
}
