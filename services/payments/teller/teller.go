// Package teller carries out the steps of sagas that move money. Each asks the
// provider first, outside any transaction, and then writes the ledger in one
// with the step's marker. What the provider was asked is written down whether
// or not the caller still waits: its late answer is an answer.
package teller

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
	"bookstore/services/txn/step"
)

// writeTimeout bounds what comes after the provider's answer.
const writeTimeout = 5 * time.Second

// Teller moves money between the accounts of the ledger.
type Teller struct {
	steps    *step.Participant
	store    *paymentspg.Store
	provider payments.Provider
	patience time.Duration
	now      func() time.Time
	count    *prometheus.CounterVec
}

// New makes a teller that waits for an answer of the provider that long at
// most, whatever its caller's patience. reg may be nil.
func New(steps *step.Participant, store *paymentspg.Store, provider payments.Provider, patience time.Duration, now func() time.Time, reg *prometheus.Registry) *Teller {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "payments_total",
		Help: "Answers about payments, repeats included, by result: done, declined, refused, unknown.",
	}, []string{"op", "result"})
	if reg != nil {
		reg.MustRegister(count)
	}
	return &Teller{steps: steps, store: store, provider: provider, patience: patience, now: now, count: count}
}

// outcome is the result of a step.
type outcome struct {
	PaymentID string `json:"paymentId"`
}

// Authorise holds the money of an order at the customer's bank.
func (t *Teller) Authorise(ctx context.Context, k step.Key, r payments.Request) (json.RawMessage, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fault.Wrap("make an id", err)
	}
	p := payments.Payment{ID: id.String(), Key: k.Saga, Request: r, CreatedAt: t.at()}
	return t.do(ctx, k, payments.Authorise, p, r.Check(), func(ctx context.Context, tx pgx.Tx) error {
		return paymentspg.Authorise(ctx, tx, p)
	})
}

// Capture takes the money that the same saga has authorised.
func (t *Teller) Capture(ctx context.Context, k step.Key, orderID string) (json.RawMessage, error) {
	p, err := t.store.OfOrder(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if p.Key != k.Saga {
		p = payments.Payment{}
	}
	return t.move(ctx, k, payments.Capture, p)
}

// Refund gives captured money back.
func (t *Teller) Refund(ctx context.Context, k step.Key, orderID string) (json.RawMessage, error) {
	p, err := t.store.OfOrder(ctx, orderID)
	if err != nil {
		return nil, err
	}
	return t.move(ctx, k, payments.Refund, p)
}

func (t *Teller) move(ctx context.Context, k step.Key, op payments.Operation, p payments.Payment) (json.RawMessage, error) {
	_, refusal := p.State.After(op)
	return t.do(ctx, k, op, p, refusal, func(ctx context.Context, tx pgx.Tx) error {
		p, err := paymentspg.Lock(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		return paymentspg.Move(ctx, tx, p, op, t.at())
	})
}

// do asks the provider, unless the answer is a refusal already, and binds the
// step to what came of it. A repeat may find a refusal too: it is answered from
// its marker all the same.
func (t *Teller) do(ctx context.Context, k step.Key, op payments.Operation, p payments.Payment, refusal error,
	write func(context.Context, pgx.Tx) error,
) (result json.RawMessage, err error) {
	defer func() { t.record(op, err) }()
	if refusal == nil {
		refusal = t.ask(ctx, p.Call(op))
	}
	if open(refusal) {
		return nil, refusal
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	if op == payments.Authorise && fault.KindOf(refusal) == kinds.PaymentDeclined {
		if err := t.store.Decline(ctx, p); err != nil {
			return nil, err
		}
	}
	return t.steps.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		if refusal != nil {
			return nil, refusal
		}
		return outcome{p.ID}, write(ctx, tx)
	})
}

// ask waits for the provider as long as the teller's patience lasts.
func (t *Teller) ask(ctx context.Context, c payments.Call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.patience)
	defer cancel()
	return fault.Wrap("ask the provider", t.provider.Ask(ctx, c))
}

func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// open reports an error that decides nothing: the same call has to come again.
func open(err error) bool { return err != nil && !fault.Decides(err) }

func (t *Teller) at() time.Time { return t.now().UTC().Truncate(time.Microsecond) }

func (t *Teller) record(op payments.Operation, err error) {
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
	t.count.WithLabelValues(string(op), result).Inc()
}
