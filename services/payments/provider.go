package payments

import (
	"context"
	"regexp"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Provider is the outside party that moves the money. No database transaction is open while it is called.
//
// Calls are idempotent: a call is identified by its key and operation, takes effect once, and every repeat returns the
// outcome of the first. nil means done; a fault for which fault.Refused holds means refused; after any other error the
// outcome is unknown. A void cancels the authorisation, and a refund the capture, of the same key: once it is done, the
// cancelled call has no effect, whether it came before, is in progress, or comes later.
type Provider interface {
	Do(ctx context.Context, c Call) error
}

// Call is one call to the provider.
type Call struct {
	Key         string
	Operation   Operation
	Token       string // "" in a void or refund of a payment that is not stored here
	AmountCents int64
	Currency    string
}

// Lateness is how long a late answer takes. Callers stop waiting before.
const Lateness = 3 * time.Second

// Attempts counts calls. All instances share the counts, and restarts keep them.
type Attempts interface {
	// Count adds a call of this key and operation, and returns how many there have been.
	Count(ctx context.Context, key string, op Operation) (int, error)
}

// Simulator is a provider whose answers depend on the test token of a payment. It keeps no accounts: those are in the
// ledger of the payments service.
type Simulator struct {
	attempts Attempts
	lateness time.Duration
}

var _ Provider = (*Simulator)(nil)

// NewSimulator makes a simulator whose late answers take lateness.
func NewSimulator(attempts Attempts, lateness time.Duration) *Simulator {
	return &Simulator{attempts, lateness}
}

// Do implements Provider.
func (s *Simulator) Do(ctx context.Context, c Call) error {
	b, known := parse(c.Token)
	if !known || b.operation != c.Operation {
		return nil
	}
	switch b.manner {
	case declines:
		return fault.New(kinds.PaymentDeclined, "the provider declined to "+string(c.Operation))
	case hangs:
		<-ctx.Done()
		return timedOut(ctx)
	case late, fails:
		n, err := s.attempts.Count(ctx, c.Key, c.Operation)
		if err != nil {
			return err
		}
		return s.answer(ctx, b, n)
	}
	return nil
}

// answer returns the result of the nth call, for tokens whose calls are counted.
func (s *Simulator) answer(ctx context.Context, b behaviour, n int) error {
	if n <= b.failures {
		return &fault.Error{Kind: fault.Unavailable, Message: "the provider is unavailable", RetryAfter: time.Second}
	}
	if b.manner == fails || n > 1 {
		return nil
	}
	timer := time.NewTimer(s.lateness)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return timedOut(ctx)
	}
}

func timedOut(ctx context.Context) error {
	return &fault.Error{Op: "call the provider", Kind: fault.DeadlineExceeded, Message: "the provider did not answer in time", Err: ctx.Err()}
}

// manner is how the simulator answers the one operation that a test token names. Every other operation succeeds at once,
// and so does the named one when the manner is none of the constants (tok_ok).
type manner string

const (
	declines manner = "decline"
	hangs    manner = "hang"
	late     manner = "late"
	fails    manner = "fail"
)

// behaviour is what a test token means.
type behaviour struct {
	manner
	operation Operation
	failures  int // of fails: how many calls fail before the first success
}

// tokens matches the test tokens:
//
//	tok_ok                 every operation succeeds
//	tok_decline[_capture]  declined
//	tok_hang[_OP]          never answered
//	tok_late[_OP]          carried out, but answered late the first time
//	tok_fail[_OP]_N        the first N calls (1 to 9) fail, the next succeeds
//
// OP is capture, void or refund; without it the token is about the authorisation.
var tokens = regexp.MustCompile(`^tok_(?:(ok)|(decline)(?:_(capture))?|(hang|late)(?:_(capture|void|refund))?|(fail)(?:_(capture|void|refund))?_([1-9]))$`)

// parse reads a test token. ok is false when it is not one.
func parse(token string) (b behaviour, ok bool) {
	m := tokens.FindStringSubmatch(token)
	if m == nil {
		return behaviour{}, false
	}
	b = behaviour{manner: manner(m[1] + m[2] + m[4] + m[6]), operation: Operation(m[3] + m[5] + m[7])}
	if b.operation == "" {
		b.operation = Authorise
	}
	if m[8] != "" {
		b.failures = int(m[8][0] - '0')
	}
	return b, true
}
