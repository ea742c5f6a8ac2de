// Package stepspg does the payment steps of sagas. Each step calls the provider first, outside any transaction, and then
// writes the ledger and the step's marker in one transaction. It waits for the provider and writes the outcome even when
// its caller has gone away, so a late answer is not lost.
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

// writeTimeout bounds what comes after the provider's answer.
const writeTimeout = 5 * time.Second

// Steps does the payment steps.
type Steps struct {
	steps    *participant.Participant
	store    *paymentspg.Store
	provider payments.Provider
	patience time.Duration
	now      func() time.Time
	count    *prometheus.CounterVec
}

// New makes the steps. patience bounds a call to the provider, whatever the caller's deadline. reg may be nil.
func New(steps *participant.Participant, store *paymentspg.Store, provider payments.Provider, patience time.Duration, now func() time.Time, reg *prometheus.Registry) *Steps {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "payments_total",
		Help: "Payment steps, repeated ones included, by operation and result: done, declined (by the provider), refused (in the payment's state), unknown.",
	}, []string{"op", "result"})
	if reg != nil {
		reg.MustRegister(count)
	}
	return &Steps{steps: steps, store: store, provider: provider, patience: patience, now: now, count: count}
}

// outcome is the result of a step, as it is stored.
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

// Capture collects the money that the same saga has authorised.
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

// Refund gives captured money back.
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

// do calls the provider, unless refusal is set, and records the outcome under the step's marker. A repeated step may
// have a refusal too: it is answered from its marker all the same.
func (s *Steps) do(ctx context.Context, k participant.Key, op payments.Operation, p payments.Payment, refusal error,
	write func(context.Context, pgx.Tx) error,
) (result json.RawMessage, err error) {
	defer func() { s.record(op, err) }()
	if refusal == nil {
		refusal = s.callProvider(ctx, p.Call(op))
	}
	if open(refusal) {
		return nil, refusal
	}
	ctx, cancel := writing(ctx)
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

// callProvider waits for the provider, up to patience.
func (s *Steps) callProvider(ctx context.Context, c payments.Call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	return fault.Wrap("call the provider", s.provider.Ask(ctx, c))
}

func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// open reports an error that decides nothing: the same call has to come again.
func open(err error) bool { return err != nil && !fault.Decides(err) }

func (s *Steps) at() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func (s *Steps) record(op payments.Operation, err error) {
	result := "done"
	switch {
	case err == nil:
	case open(err):
		result = "unknown"
	case fault.KindOf(err) == kinds.PaymentDeclined:
		result = "declined"
	default:
		result = "refused"
	}
	s.count.WithLabelValues(string(op), result).Inc()
}
