package payments

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Lateness is how long a late answer takes: longer than a caller waits.
const Lateness = 3 * time.Second

// Attempts counts calls over restarts and instances.
type Attempts interface {
	// Count returns how many calls of this key and operation there have been, this one included.
	Count(ctx context.Context, key string, op Operation) (int, error)
}

// Simulator is a provider that behaves as the test tokens say. It keeps no accounts: the ledger of the payments service
// stands for them.
type Simulator struct {
	attempts Attempts
	lateness time.Duration
}

var _ Provider = (*Simulator)(nil)

// NewSimulator makes a simulator whose late answers take that long.
func NewSimulator(attempts Attempts, lateness time.Duration) *Simulator {
	return &Simulator{attempts, lateness}
}

// Ask implements Provider.
func (s *Simulator) Ask(ctx context.Context, c Call) error {
	b, known := parse(c.Token)
	if !known || b.operation != c.Operation {
		return nil
	}
	switch b.manner {
	case declines:
		return fault.New(kinds.PaymentDeclined, "the provider declined to "+string(c.Operation))
	case hangs:
		<-ctx.Done()
		return silent(ctx)
	case lags, fails:
		n, err := s.attempts.Count(ctx, c.Key, c.Operation)
		if err != nil {
			return err
		}
		return s.answer(ctx, b, n)
	}
	return nil
}

// answer is the result of the nth call.
func (s *Simulator) answer(ctx context.Context, b behaviour, n int) error {
	if n <= b.failures {
		return &fault.Error{Kind: fault.Unavailable, Message: "the provider is unavailable", RetryAfter: time.Second}
	}
	if b.manner == fails || n > 1 {
		return nil
	}
	late := time.NewTimer(s.lateness)
	defer late.Stop()
	select {
	case <-late.C:
		return nil
	case <-ctx.Done():
		return silent(ctx)
	}
}

func silent(ctx context.Context) error {
	return &fault.Error{Op: "ask the provider", Kind: fault.DeadlineExceeded, Message: "the provider did not answer in time", Err: ctx.Err()}
}
