package teller

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/step"
)

// UndoAuthorise voids what the saga has authorised; nothing comes of an
// authorisation that is under way. AlreadyCaptured when it is too late.
func (t *Teller) UndoAuthorise(ctx context.Context, k step.Key) error {
	return t.undo(ctx, k, payments.Void)
}

// UndoCapture refunds what the saga has captured, unless it has been refunded since.
func (t *Teller) UndoCapture(ctx context.Context, k step.Key) error {
	return t.undo(ctx, k, payments.Refund)
}

// UndoRefund takes nothing back; it keeps a refund that comes late from being done.
func (t *Teller) UndoRefund(ctx context.Context, k step.Key) error {
	return t.steps.Undo(ctx, k, nil)
}

// undo asks the provider even about a payment that is not known here: it may
// have carried out what it never answered.
func (t *Teller) undo(ctx context.Context, k step.Key, op payments.Operation) (err error) {
	defer func() { t.record(op, err) }()
	p, err := t.store.OfSaga(ctx, k.Saga)
	if err != nil {
		return err
	}
	p.Key = k.Saga
	if concerns(op, p.State) {
		if err := t.ask(ctx, p.Call(op)); err != nil {
			return err
		}
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	return t.steps.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		return t.reverse(ctx, tx, result, op)
	})
}

// concerns reports whether the provider may have something to take back.
func concerns(op payments.Operation, s payments.State) bool {
	switch s {
	case payments.Nothing, payments.Authorised:
		return true
	case payments.Captured:
		return op == payments.Refund
	default:
		return false
	}
}

// reverse writes the ledger of an undone step.
func (t *Teller) reverse(ctx context.Context, tx pgx.Tx, result json.RawMessage, op payments.Operation) error {
	var done outcome
	if err := json.Unmarshal(result, &done); err != nil {
		return fault.Wrap("read the step's result", err)
	}
	p, err := paymentspg.Lock(ctx, tx, done.PaymentID)
	if err != nil || p.State == payments.Refunded {
		return err
	}
	return paymentspg.Move(ctx, tx, p, op, t.at())
}
