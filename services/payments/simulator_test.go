package payments_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// memory counts attempts; err is what goes wrong with it.
type memory struct {
	calls map[string]int
	err   error
}

func (m memory) Count(_ context.Context, key string, op payments.Operation) (int, error) {
	m.calls[key+string(op)]++
	return m.calls[key+string(op)], m.err
}

func simulator() *payments.Simulator {
	return payments.NewSimulator(memory{calls: map[string]int{}}, payments.Lateness)
}

func call(token string, op payments.Operation) payments.Call {
	return payments.Call{Key: "k", Operation: op, Token: token, AmountCents: 1, Currency: "EUR"}
}

func TestWhatTokensDoToEachOperation(t *testing.T) {
	never := fault.DeadlineExceeded
	for token, want := range map[string]map[payments.Operation][]fault.Kind{ // the answers before the first that is done
		"tok_ok":              {},
		"tok_decline":         {payments.Authorise: {kinds.PaymentDeclined, kinds.PaymentDeclined, kinds.PaymentDeclined}},
		"tok_decline_capture": {payments.Capture: {kinds.PaymentDeclined, kinds.PaymentDeclined, kinds.PaymentDeclined}},
		"tok_hang":            {payments.Authorise: {never, never, never}},
		"tok_hang_capture":    {payments.Capture: {never, never, never}},
		"tok_late":            {payments.Authorise: {never}},
		"tok_late_void":       {payments.Void: {never}},
		"tok_fail_1":          {payments.Authorise: {fault.Unavailable}},
		"tok_fail_capture_2":  {payments.Capture: {fault.Unavailable, fault.Unavailable}},
		"tok_fail_refund_1":   {payments.Refund: {fault.Unavailable}},
		"":                    {},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := simulator()
			for _, op := range operations {
				for n := range 3 {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					err := s.Ask(ctx, call(token, op))
					cancel()
					switch before := want[op]; {
					case n >= len(before) && err != nil:
						t.Errorf("%s, %s, call %d: %v", token, op, n+1, err)
					case n < len(before) && (err == nil || fault.KindOf(err) != before[n]):
						t.Errorf("%s, %s, call %d: %v, want %s", token, op, n+1, err, before[n])
					}
				}
			}
		})
	}
}

func TestALateAnswerComesWhenTheCallerHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := simulator(), time.Now()
		for _, took := range []time.Duration{payments.Lateness, 0} {
			if err := s.Ask(t.Context(), call("tok_late", payments.Authorise)); err != nil || time.Since(start) != took {
				t.Errorf("%v after %s, want %s", err, time.Since(start), took)
			}
			start = time.Now()
		}
	})
}

func TestAttemptsThatCannotBeCountedAreNoAnswer(t *testing.T) {
	gone := fault.New(fault.Unavailable, "the database cannot be reached")
	s := payments.NewSimulator(memory{calls: map[string]int{}, err: gone}, 0)
	if err := s.Ask(t.Context(), call("tok_late", payments.Authorise)); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
