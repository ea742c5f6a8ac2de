package stepspg

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"bookstore/services/payments"
	"bookstore/services/payments/paymentspg"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

// UndoAuthorise voids what the saga has authorised, including an authorisation that is in progress. AlreadyCaptured when
// it is too late.
func (s *Steps) UndoAuthorise(ctx context.Context, k participant.Key) error {
	return s.undo(ctx, k, payments.Void)
}

// UndoCapture refunds what the saga has captured, unless it has been refunded since.
func (s *Steps) UndoCapture(ctx context.Context, k participant.Key) error {
	return s.undo(ctx, k, payments.Refund)
}

// UndoRefund undoes nothing: it leaves a tombstone, which refuses a refund that comes late.
func (s *Steps) UndoRefund(ctx context.Context, k participant.Key) error {
	return s.steps.Undo(ctx, k, nil)
}

// undo calls the provider even about an unknown payment: the provider may have done a call that it never answered.
func (s *Steps) undo(ctx context.Context, k participant.Key, op payments.Operation) (err error) {
	defer func() { s.record(op, err) }()
	p, err := s.store.OfSaga(ctx, k.Saga)
	if err != nil {
		return err
	}
	p.Key = k.Saga
	if concerns(op, p.State) {
		if err := s.callProvider(ctx, p.Call(op)); err != nil {
			return err
		}
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	return s.steps.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		return s.reverse(ctx, tx, result, op)
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
