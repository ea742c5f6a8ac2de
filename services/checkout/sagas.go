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

// Checkout is the saga of an order that is paid for. The order gets its id with
// the saga, but there is no order before the money is there.
//
//	reserve_stock ─► authorise ─► [approval] ─► capture ─► create_order
//	                                            (pivot)
var Checkout = saga.Define("checkout",
	saga.StepOf[checkout]{Name: "reserve_stock", At: BranchBooks, Undo: true, Send: func(c checkout) any {
		return stepLines{c.Order.ID, reserveLines(c.Order.Items)}
	}},
	saga.StepOf[checkout]{Name: "authorise", At: BranchPayments, Undo: true, Outside: true, Send: func(c checkout) any {
		return stepAuthorise{c.Order.ID, c.Payment.Method, c.Payment.Token, c.Order.TotalCents, c.Order.Currency}
	}},
	saga.StepOf[checkout]{Name: "approval", When: func(c checkout) bool { return c.RequiresApproval }},
	saga.StepOf[checkout]{Name: "capture", At: BranchPayments, Undo: true, Pivot: true, Outside: true, Send: func(c checkout) any {
		return stepOrder{c.Order.ID}
	}},
	saga.StepOf[checkout]{Name: createOrder, At: BranchOrders, Undo: true, Send: func(c checkout) any {
		return stepCreate{c.Order}
	}},
)

const createOrder = "create_order"

// checkout is what the steps of a checkout need to know.
type checkout struct {
	Order            placedOrder `json:"order"`
	Payment          Payment     `json:"payment"`
	RequiresApproval bool        `json:"requiresApproval"`
}

// What steps are sent.
type (
	stepLines struct {
		OrderID string        `json:"orderId"`
		Lines   []reserveLine `json:"lines"`
	}
	stepAuthorise struct {
		OrderID     string `json:"orderId"`
		Method      string `json:"method"`
		Token       string `json:"token"`
		AmountCents int64  `json:"amountCents"`
		Currency    string `json:"currency"`
	}
	stepOrder struct {
		OrderID string `json:"orderId"`
	}
	stepCreate struct {
		Order placedOrder `json:"order"`
	}
)

// BeginCheckout is a request to check out.
type BeginCheckout struct {
	Caller  string // who sent it, as the gateway says; "" is the customer
	Key     string // Idempotency-Key
	Request Request
}

// BeginCheckout starts a checkout at the prices of this moment: if one of them
// moves before the stock is reserved, it fails with price_changed.
func (s *Service) BeginCheckout(ctx context.Context, b BeginCheckout) (Result, error) {
	if err := b.Request.Validate(); err != nil {
		return Result{}, err
	}
	id, err := s.NewID()
	if err != nil {
		return Result{}, fault.Wrap("make an order id", err)
	}
	r := saga.Request{Caller: b.Caller, Key: b.Key, RequestHash: twophase.HashRequest("checkout", b.Request), Time: s.settings.CheckoutTime}
	if r.Caller == "" {
		r.Caller = customerCaller(b.Request.CustomerID)
	}
	if b.Request.RequiresApproval {
		r.Time = s.settings.ApprovalTime
	}
	return s.beginSaga(ctx, Checkout, r, func(ctx context.Context) (any, error) {
		order, err := s.price(ctx, id, b.Request.order())
		return checkout{order.placed(), b.Request.Payment, b.Request.RequiresApproval}, err
	})
}

// Return is the saga of an order that comes back. It takes the order first: of
// two returns of one order, the second is refused before any money moves.
//
//	mark_returned ─► refund ─► restock
//	                 (pivot)
var Return = saga.Define("return",
	saga.StepOf[orderReturn]{Name: "mark_returned", At: BranchOrders, Undo: true, Send: func(r orderReturn) any {
		return stepOrder{r.OrderID}
	}},
	saga.StepOf[orderReturn]{Name: "refund", At: BranchPayments, Pivot: true, Outside: true, Send: func(r orderReturn) any {
		return stepOrder{r.OrderID}
	}},
	saga.StepOf[orderReturn]{Name: "restock", At: BranchBooks, Send: func(r orderReturn) any {
		return stepCopies{r.OrderID, r.Lines}
	}},
)

// orderReturn is what the steps of a return need to know.
type orderReturn struct {
	OrderID    string       `json:"orderId"`
	CustomerID string       `json:"customerId"`
	Lines      []copiesLine `json:"lines"`
}

type (
	stepCopies struct {
		OrderID string       `json:"orderId"`
		Lines   []copiesLine `json:"lines"`
	}
	copiesLine struct {
		BookID   int64 `json:"bookId"`
		Quantity int64 `json:"quantity"`
	}
)

// BeginReturn is a request to take an order back.
type BeginReturn struct {
	Caller  string // who sent it, as the gateway says; "" is the order's customer
	Key     string // Idempotency-Key
	OrderID string
}

// BeginReturn starts the return of a paid order.
func (s *Service) BeginReturn(ctx context.Context, b BeginReturn) (Result, error) {
	order, err := s.readOrder(ctx, b.OrderID)
	if err != nil {
		return Result{}, err
	}
	r := saga.Request{Caller: b.Caller, Key: b.Key, RequestHash: twophase.HashRequest("return", order.ID), Time: s.settings.ReturnTime}
	if r.Caller == "" {
		r.Caller = customerCaller(order.CustomerID)
	}
	return s.beginSaga(ctx, Return, r, func(context.Context) (any, error) {
		if order.Status != StatusPaid {
			return nil, fault.Newf(kinds.NotReturnable, "only a paid order can be returned, this one is %s", order.Status)
		}
		back := orderReturn{OrderID: order.ID, CustomerID: order.CustomerID}
		for _, l := range order.Items {
			back.Lines = append(back.Lines, copiesLine{l.BookID, l.Quantity})
		}
		return back, nil
	})
}

// beginSaga starts a saga, or finds the one that stands under the caller's key.
// A refusal of plan's that decides is bound to the key, like the beginning is.
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

// CancelSaga has a saga undone. One that can only go on is AlreadyCaptured: its
// pivot is a payment.
func (s *Service) CancelSaga(ctx context.Context, d saga.Definition, id string) (saga.Saga, error) {
	cancelled, err := s.Sagas.Cancel(ctx, d, id)
	if fault.KindOf(err) == saga.PastPivot {
		err = fault.New(kinds.AlreadyCaptured, fault.As(err).Message)
	}
	return cancelled, err
}

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
