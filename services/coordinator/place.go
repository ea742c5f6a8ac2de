package coordinator

import (
	"context"
	"net/http"
	"time"

	"bookstore/services/platform/fault"
)

// PlaceOrder is a request to place an order.
type PlaceOrder struct {
	Caller  string // who sent it, as the gateway says; "" is the customer
	Key     string // Idempotency-Key
	Request OrderRequest
}

// The payloads of the branches of a new order.
type (
	reservePayload struct {
		Action  string        `json:"action"`
		OrderID string        `json:"orderId"`
		Lines   []reserveLine `json:"lines"`
	}
	reserveLine struct {
		BookID         int64 `json:"bookId"`
		Quantity       int64 `json:"quantity"`
		UnitPriceCents int64 `json:"unitPriceCents"`
	}
	placePayload struct {
		Action string      `json:"action"`
		Order  placedOrder `json:"order"`
	}
	placedOrder struct {
		ID         string    `json:"id"`
		CustomerID string    `json:"customerId"`
		Items      []Line    `json:"items"`
		TotalCents int64     `json:"totalCents"`
		Currency   string    `json:"currency"`
		CreatedAt  time.Time `json:"createdAt"`
	}
)

// quoteTries is how often prices are asked for when the answer does not
// arrive: it is a read.
const quoteTries = 3

// PlaceOrder reserves the copies in the books branch and stores the order in
// the orders branch, both or neither. Refusals are bound to the key like
// successes; Unavailable, DeadlineExceeded, Contended, PriceChanged and
// OutcomeUnknown are not: the same key may be sent again.
func (s *Service) PlaceOrder(ctx context.Context, p PlaceOrder) (Result, error) {
	if p.Key == "" {
		return Result{}, fault.New(fault.IdempotencyKeyRequired, "send an Idempotency-Key of your own with each order")
	}
	if err := p.Request.Validate(); err != nil {
		return Result{}, err
	}
	id, err := s.NewID()
	if err != nil {
		return Result{}, fault.Wrap("make an order id", err)
	}
	caller := p.Caller
	if caller == "" {
		caller = customerCaller(p.Request.CustomerID)
	}
	claim := Claim{
		Kind: KindPlace, Caller: caller, Key: p.Key,
		RequestHash: requestHash(KindPlace, p.Request),
		Branches:    []string{BranchBooks, BranchOrders},
		Payload:     Payload{OrderID: id},
	}
	return s.run(ctx, claim, p.Request.wants(), func(ctx context.Context, tx Transaction) (work, error) {
		return s.planPlace(ctx, tx.Payload.OrderID, p.Request)
	})
}

func customerCaller(customerID string) string { return "customer:" + customerID }

// planPlace prices the order and says what each branch has to do for it.
func (s *Service) planPlace(ctx context.Context, id string, r OrderRequest) (work, error) {
	order, err := s.price(ctx, id, r)
	if err != nil {
		return work{}, err
	}
	outcome, err := success(http.StatusCreated, order)
	if err != nil {
		return work{}, err
	}
	return work{
		outcome: outcome,
		payloads: map[string]any{
			BranchBooks:  reservePayload{Action: "reserve", OrderID: id, Lines: reserveLines(order.Items)},
			BranchOrders: placePayload{Action: "place", Order: order.placed()},
		},
	}, nil
}

// price makes an order of a request, as the shop would sell it now.
func (s *Service) price(ctx context.Context, id string, r OrderRequest) (Order, error) {
	var quotes []Quote
	err := s.askAgain(ctx, quoteTries, func(ctx context.Context) (err error) {
		quotes, err = s.Quotes.Quote(ctx, r.bookIDs())
		return err
	})
	if err != nil {
		return Order{}, err
	}
	return newOrder(id, r, quotes, s.Clock())
}

// placed is the order as the orders service is told to store it.
func (o Order) placed() placedOrder {
	return placedOrder{
		ID: o.ID, CustomerID: o.CustomerID, Items: o.Items,
		TotalCents: o.TotalCents, Currency: o.Currency, CreatedAt: o.CreatedAt,
	}
}

func reserveLines(lines []Line) []reserveLine {
	out := make([]reserveLine, len(lines))
	for i, l := range lines {
		out[i] = reserveLine{BookID: l.BookID, Quantity: l.Quantity, UnitPriceCents: l.UnitPriceCents}
	}
	return out
}
