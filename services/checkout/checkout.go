package checkout

import (
	"context"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

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
