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

// counter counts attempts in memory, and returns err with each.
type counter struct {
	calls map[string]int
	err   error
}

func (m counter) Count(_ context.Context, key string, op payments.Operation) (int, error) {
	m.calls[key+string(op)]++
	return m.calls[key+string(op)], m.err
}

func simulator() *payments.Simulator {
	return payments.NewSimulator(counter{calls: map[string]int{}}, payments.Lateness)
}

func call(token string, op payments.Operation) payments.Call {
	return payments.Call{Key: "k", Operation: op, Token: token, AmountCents: 1, Currency: "EUR"}
}

func TestWhatTokensDoToEachOperation(t *testing.T) {
	noAnswer := fault.DeadlineExceeded
	for token, want := range map[string]map[payments.Operation][]fault.Kind{ // the answers before the first that is done
		"tok_ok":              {},
		"tok_decline":         {payments.Authorise: {kinds.PaymentDeclined, kinds.PaymentDeclined, kinds.PaymentDeclined}},
		"tok_decline_capture": {payments.Capture: {kinds.PaymentDeclined, kinds.PaymentDeclined, kinds.PaymentDeclined}},
		"tok_hang":            {payments.Authorise: {noAnswer, noAnswer, noAnswer}},
		"tok_hang_capture":    {payments.Capture: {noAnswer, noAnswer, noAnswer}},
		"tok_late":            {payments.Authorise: {noAnswer}},
		"tok_late_void":       {payments.Void: {noAnswer}},
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
					err := s.Do(ctx, call(token, op))
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

func TestALateAnswerTakesItsTimeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := simulator(), time.Now()
		for _, took := range []time.Duration{payments.Lateness, 0} {
			if err := s.Do(t.Context(), call("tok_late", payments.Authorise)); err != nil || time.Since(start) != took {
				t.Errorf("%v after %s, want %s", err, time.Since(start), took)
			}
			start = time.Now()
		}
	})
}

func TestAttemptsThatCannotBeCountedAreNoAnswer(t *testing.T) {
	gone := fault.New(fault.Unavailable, "the database cannot be reached")
	s := payments.NewSimulator(counter{calls: map[string]int{}, err: gone}, 0)
	if err := s.Do(t.Context(), call("tok_late", payments.Authorise)); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestTokens(t *testing.T) {
	for token, known := range map[string]bool{
		"tok_ok": true, "tok_decline": true, "tok_decline_capture": true, "tok_hang": true, "tok_hang_void": true,
		"tok_late": true, "tok_late_refund": true, "tok_fail_1": true, "tok_fail_9": true, "tok_fail_capture_3": true,
		"": false, "tok_": false, "TOK_OK": false, "tok_ok\x20": false, "tok_ok\n": false, "tok_ok_capture": false,
		"tok_decline_refund": false, "tok_fail": false, "tok_fail_0": false, "tok_fail_10": false, "tok_fail_capture": false,
		"tok_hang_1": false, "tok_late_authorise": false, "4242424242424242": false,
	} {
		if err := request(token).Check(); (err == nil) != known {
			t.Errorf("%q: %v", token, err)
		}
	}
}
