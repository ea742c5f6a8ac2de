// Package stepspg does the payment steps of sagas. Each step first calls the provider, with no transaction open, and then
// writes the ledger and the step's marker in one transaction. It waits for the provider and writes the outcome even after
// its caller's deadline, so that a late answer is not lost.
package stepspg

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// writeTimeout bounds the transaction that writes the provider's answer.
const writeTimeout = 5 * time.Second

// Steps does the payment steps.
type Steps struct {
	steps    *participant.Participant
	store    *paymentspg.Store
	provider payments.Provider
	timeout  time.Duration // of a call to the provider
	now      func() time.Time
	results  *prometheus.CounterVec
}

// New makes the steps. timeout bounds a call to the provider; the caller's deadline does not. reg may be nil.
func New(steps *participant.Participant, store *paymentspg.Store, provider payments.Provider, timeout time.Duration, now func() time.Time, reg *prometheus.Registry) *Steps {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "payments_total",
		Help: "Payment steps, repeated ones included, by operation and result: done, declined (by the provider), refused (in the payment's state), unknown.",
	}, []string{"op", "result"})
	if reg != nil {
		reg.MustRegister(results)
	}
	return &Steps{steps: steps, store: store, provider: provider, timeout: timeout, now: now, results: results}
}

// outcome is a step's result, as its marker stores it.
type outcome struct {
	PaymentID string `json:"paymentId"`
}

// Authorise reserves the amount of an order at the customer's bank.
func (s *Steps) Authorise(ctx context.Context, k participant.Key, r payments.Request) (json.RawMessage, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fault.Wrap("make an id", err)
	}
	p := payments.Payment{ID: id.String(), Key: k.Saga, Request: r, CreatedAt: s.at()}
	return s.do(ctx, k, payments.Authorise, p, r.Check(), func(ctx context.Context, tx pgx.Tx) error {
		return paymentspg.Authorise(ctx, tx, p)
	})
}

// Capture captures what the same saga has authorised.
func (s *Steps) Capture(ctx context.Context, k participant.Key, orderID string) (json.RawMessage, error) {
	p, err := s.store.OfOrder(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if p.Key != k.Saga {
		p = payments.Payment{}
	}
	return s.move(ctx, k, payments.Capture, p)
}

// Refund refunds what a checkout has captured.
func (s *Steps) Refund(ctx context.Context, k participant.Key, orderID string) (json.RawMessage, error) {
	p, err := s.store.OfOrder(ctx, orderID)
	if err != nil {
		return nil, err
	}
	return s.move(ctx, k, payments.Refund, p)
}

func (s *Steps) move(ctx context.Context, k participant.Key, op payments.Operation, p payments.Payment) (json.RawMessage, error) {
	_, refusal := p.State.After(op)
	return s.do(ctx, k, op, p, refusal, func(ctx context.Context, tx pgx.Tx) error {
		p, err := paymentspg.Lock(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		return paymentspg.Move(ctx, tx, p, op, s.at())
	})
}

// do calls the provider, unless refusal is set, and stores the outcome with the step's marker. A repeated step may come
// with a refusal, because its first call changed the payment's state; participant.Do then answers from the marker.
func (s *Steps) do(ctx context.Context, k participant.Key, op payments.Operation, p payments.Payment, refusal error,
	write func(context.Context, pgx.Tx) error,
) (result json.RawMessage, err error) {
	defer func() { s.record(op, err) }()
	if refusal == nil {
		refusal = s.callProvider(ctx, p.Call(op))
	}
	if undecided(refusal) {
		return nil, refusal
	}
	ctx, cancel := detached(ctx, writeTimeout)
	defer cancel()
	if op == payments.Authorise && fault.KindOf(refusal) == kinds.PaymentDeclined {
		if err := s.store.Decline(ctx, p); err != nil {
			return nil, err
		}
	}
	return s.steps.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		if refusal != nil {
			return nil, refusal
		}
		return outcome{p.ID}, write(ctx, tx)
	})
}

// UndoAuthorise voids what the saga has authorised, including an authorisation that is in progress. AlreadyCaptured after
// a capture.
func (s *Steps) UndoAuthorise(ctx context.Context, k participant.Key) error {
	return s.undo(ctx, k, payments.Void)
}

// UndoCapture refunds what the saga has captured, unless it has been refunded since.
func (s *Steps) UndoCapture(ctx context.Context, k participant.Key) error {
	return s.undo(ctx, k, payments.Refund)
}

// UndoRefund changes no payment. It writes a tombstone, which refuses a refund that arrives later.
func (s *Steps) UndoRefund(ctx context.Context, k participant.Key) error {
	return s.steps.Undo(ctx, k, nil)
}

// undo calls the provider even when no payment is stored: the provider may have done a call without answering it.
func (s *Steps) undo(ctx context.Context, k participant.Key, op payments.Operation) (err error) {
	defer func() { s.record(op, err) }()
	p, err := s.store.OfSaga(ctx, k.Saga)
	if err != nil {
		return err
	}
	p.Key = k.Saga
	if providerMayHold(p.State, op) {
		if err := s.callProvider(ctx, p.Call(op)); err != nil {
			return err
		}
	}
	ctx, cancel := detached(ctx, writeTimeout)
	defer cancel()
	return s.steps.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		return s.reverse(ctx, tx, result, op)
	})
}

// providerMayHold reports whether the provider may have done what op undoes.
func providerMayHold(s payments.State, op payments.Operation) bool {
	switch s {
	case payments.Nothing, payments.Authorised:
		return true
	case payments.Captured:
		return op == payments.Refund
	default:
		return false
	}
}

// reverse moves the money of an undone step in the ledger. After a refund there is none to move.
func (s *Steps) reverse(ctx context.Context, tx pgx.Tx, result json.RawMessage, op payments.Operation) error {
	var done outcome
	if err := json.Unmarshal(result, &done); err != nil {
		return fault.Wrap("read the step's result", err)
	}
	p, err := paymentspg.Lock(ctx, tx, done.PaymentID)
	if err != nil || p.State == payments.Refunded {
		return err
	}
	return paymentspg.Move(ctx, tx, p, op, s.at())
}

// callProvider calls the provider and waits up to s.timeout.
func (s *Steps) callProvider(ctx context.Context, c payments.Call) error {
	ctx, cancel := detached(ctx, s.timeout)
	defer cancel()
	return fault.Wrap("call the provider", s.provider.Do(ctx, c))
}

// detached is ctx with a deadline of its own: the caller's neither ends nor extends it.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}

// undecided reports an error that is not a decision: the caller has to repeat the call.
func undecided(err error) bool { return err != nil && !fault.Decides(err) }

// at is the time of an operation, in the precision of PostgreSQL.
func (s *Steps) at() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// record counts the result of a call.
func (s *Steps) record(op payments.Operation, err error) {
	result := "done"
	switch {
	case err == nil:
	case undecided(err):
		result = "unknown"
	case fault.KindOf(err) == kinds.PaymentDeclined:
		result = "declined"
	default:
		result = "refused"
	}
	s.results.WithLabelValues(string(op), result).Inc()
}
