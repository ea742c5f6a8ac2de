package checkout

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// Sagas lists the sagas that there are, for the engine.
func Sagas() []saga.Definition { return []saga.Definition{Checkout, Return} }

// SagaView is a saga as the API shows it.
type SagaView struct {
	ID         string      `json:"id"`
	CustomerID string      `json:"customerId"`
	State      saga.State  `json:"state"`
	OrderID    string      `json:"orderId,omitempty"` // of a checkout: once there is an order
	Steps      []saga.Step `json:"steps"`
	Error      *saga.Cause `json:"error,omitempty"` // why it is, or was, undone
	Deadline   time.Time   `json:"deadline"`
	CreatedAt  time.Time   `json:"createdAt"`
	UpdatedAt  time.Time   `json:"updatedAt"`
	FinishedAt time.Time   `json:"finishedAt,omitzero"`
}

// View is what the API shows of a saga: neither its key nor its data, which
// hold what lets someone repeat or pay.
func View(s saga.Saga) (SagaView, error) {
	var data struct {
		orderReturn

		Order placedOrder `json:"order"`
	}
	if err := json.Unmarshal(s.Data, &data); err != nil {
		return SagaView{}, fault.Wrap("read a saga's data", err)
	}
	v := SagaView{
		ID: s.ID, CustomerID: data.CustomerID, State: s.State, OrderID: data.OrderID, Steps: s.Steps, Error: s.Cause,
		Deadline: s.Deadline, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, FinishedAt: s.FinishedAt,
	}
	if s.Definition == Checkout.Name {
		v.CustomerID = data.Order.CustomerID
		if s.StepDone(createOrder) {
			v.OrderID = data.Order.ID
		}
	}
	return v, nil
}

// CancelSaga has a saga undone. One that can only go on is AlreadyCaptured: its
// pivot is a payment.
func (s *Service) CancelSaga(ctx context.Context, d saga.Definition, id string) (saga.Saga, error) {
	cancelled, err := s.Sagas.Cancel(ctx, d, id)
	if fault.KindOf(err) == saga.PastPivot {
		err = fault.New(kinds.AlreadyCaptured, fault.As(err).Message)
	}
	return cancelled, err
}

// beginSaga starts a saga, or finds the one that stands under the caller's key.
// A definite no of plan's is bound to the key, like the beginning is.
func (s *Service) beginSaga(ctx context.Context, d saga.Definition, r saga.Request, plan func(context.Context) (any, error)) (Result, error) {
	if r.Key == "" {
		return Result{}, fault.New(fault.IdempotencyKeyRequired, "send an Idempotency-Key of your own with each request")
	}
	var begun saga.Begun
	data, cause := plan(ctx)
	if cause != nil {
		earlier, err := s.Sagas.Earlier(ctx, r)
		switch {
		case err != nil:
			return Result{}, err
		case earlier != nil:
			return sagaResult(d, *earlier)
		case twophase.VoteOf(cause) != twophase.No:
			return Result{}, cause
		}
		if begun, err = s.Sagas.Refuse(ctx, d, r, saga.Outcome(*twophase.Refusal(cause)), cause); err != nil {
			return Result{}, err
		}
		return sagaResult(d, begun)
	}
	r.Data = data
	begun, err := s.Sagas.Begin(ctx, d, r, accepted)
	if err != nil {
		return Result{}, err
	}
	return sagaResult(d, begun)
}

// accepted is the answer to a request that began a saga.
func accepted(s saga.Saga) (saga.Outcome, error) {
	v, err := View(s)
	if err != nil {
		return saga.Outcome{}, err
	}
	body, err := json.Marshal(v)
	return saga.Outcome{Status: http.StatusAccepted, Body: body}, fault.Wrap("encode a saga", err)
}

func sagaResult(d saga.Definition, b saga.Begun) (Result, error) {
	if err := twophase.Outcome(b.Outcome).Err(); err != nil {
		return Result{Replayed: b.Replayed}, err
	}
	return Result{Status: b.Outcome.Status, Body: b.Outcome.Body, Location: "/" + d.Name + "s/" + b.Saga.ID, Replayed: b.Replayed}, nil
}
