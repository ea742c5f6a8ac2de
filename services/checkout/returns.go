package checkout

import (
	"context"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

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
