package checkout

import (
	"context"
	"net/http"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/twophase"
)

// CancelOrder is a request to cancel an order.
type CancelOrder struct {
	Caller  string // who sent it, as the gateway says; "" is the order's customer
	Key     string // Idempotency-Key; "" stands for one key per order
	OrderID string
}

type cancelPayload struct {
	Action  string    `json:"action"`
	OrderID string    `json:"orderId"`
	At      time.Time `json:"at"`
}

// cancelKey is the key of cancels that bring none: all those of one order are
// the same request.
const cancelKey = "cancel"

// CancelOrder cancels an order and returns its copies to the stock, both or
// neither. An order that is cancelled already is returned as it is.
func (s *Service) CancelOrder(ctx context.Context, c CancelOrder) (Result, error) {
	order, err := s.readOrder(ctx, c.OrderID)
	if err != nil {
		return Result{}, err
	}
	claim := twophase.Claim{
		Kind: KindCancel, Caller: c.Caller, Key: c.Key,
		RequestHash: twophase.HashRequest(KindCancel, order.ID),
		// In this order: the order's row decides among parallel cancels, and a
		// branch that waits for it holds no book meanwhile.
		Branches: []string{BranchOrders, BranchBooks},
		Payload:  subject{order.ID}.encode(),
	}
	switch {
	case c.Key == "" && order.Status == StatusCancelled:
		return order.result()
	case c.Key == "":
		claim.Caller, claim.Key = "order:"+order.ID, cancelKey
	case c.Caller == "":
		claim.Caller = customerCaller(order.CustomerID)
	}
	outcome, err := s.Transactions.Run(ctx, twophase.Request{
		Claim: claim, Wants: order.gives(), Holder: BranchBooks,
		Plan: func(context.Context, twophase.Transaction) (twophase.Work, error) {
			return planCancel(order, s.Clock())
		},
	})
	result := located(outcome)
	if err != nil && fault.KindOf(err) == kinds.NotCancellable {
		result, err = s.unlessCancelled(ctx, err, result, order.ID)
	}
	result.Replayed = result.Replayed && c.Key != ""
	return result, err
}

// planCancel asks the orders branch first; it alone decides whether the order
// can still be cancelled.
func planCancel(order Order, now time.Time) (twophase.Work, error) {
	cancelled := order.cancelled(now)
	outcome, err := twophase.Success(http.StatusOK, cancelled)
	return twophase.Work{
		Outcome: outcome,
		Ordered: true,
		Payloads: map[string]any{
			BranchOrders: cancelPayload{Action: "cancel", OrderID: order.ID, At: cancelled.UpdatedAt},
			BranchBooks:  reservePayload{Action: "restock", OrderID: order.ID, Lines: reserveLines(order.Items)},
		},
	}, err
}

// unlessCancelled turns the refusal of a second cancel into what the first
// one had as its result.
func (s *Service) unlessCancelled(ctx context.Context, refusal error, r Result, id string) (Result, error) {
	order, err := s.readOrder(ctx, id)
	if err != nil {
		return Result{}, err
	}
	if order.Status != StatusCancelled {
		return r, refusal
	}
	result, err := order.result()
	result.Replayed = r.Replayed
	return result, err
}

func (s *Service) readOrder(ctx context.Context, id string) (order Order, err error) {
	err = s.Transactions.Read(ctx, func(ctx context.Context) error {
		order, err = s.Orders.Order(ctx, id)
		return err
	})
	return order, err
}

func (o Order) result() (Result, error) {
	outcome, err := twophase.Success(http.StatusOK, o)
	return Result{Status: outcome.Status, Body: outcome.Body}, err
}

// gives are the order's books, of which a cancel takes no copies.
func (o Order) gives() []twophase.Want {
	wants := make([]twophase.Want, len(o.Items))
	for i, line := range o.Items {
		wants[i] = twophase.Want{Resource: resource(line.BookID)}
	}
	return wants
}
