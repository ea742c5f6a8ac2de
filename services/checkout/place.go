package checkout

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/twophase"
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
	result, err := s.Transactions.Run(ctx, twophase.Request{
		Claim: twophase.Claim{
			Kind: KindPlace, Caller: caller, Key: p.Key,
			RequestHash: twophase.HashRequest(KindPlace, p.Request),
			Branches:    []string{BranchBooks, BranchOrders},
			Payload:     subject{id}.encode(),
		},
		Wants: p.Request.wants(), Holder: BranchBooks, Shortages: shortages,
		Plan: func(ctx context.Context, _ twophase.Transaction) (twophase.Work, error) {
			return s.planPlace(ctx, id, p.Request)
		},
	})
	return located(result), err
}

func customerCaller(customerID string) string { return "customer:" + customerID }

// subject is what the row of a transaction remembers about its request.
type subject struct {
	OrderID string `json:"orderId"`
}

func (s subject) encode() json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil {
		panic("checkout: an order's id does not encode: " + err.Error())
	}
	return text
}

// OrderOf reads which order a transaction is about: "" if its row names none.
func OrderOf(t twophase.Transaction) string { return orderOf(t.Payload) }

func orderOf(payload []byte) string {
	var s subject
	_ = json.Unmarshal(payload, &s) // none
	return s.OrderID
}

// located adds where the order that was made can be read.
func located(r twophase.Result) Result {
	out := Result{Status: r.Status, Body: r.Body, Replayed: r.Replayed}
	if r.Status == http.StatusCreated {
		out.Location = "/orders/" + orderOf(r.Payload)
	}
	return out
}

// planPlace prices the order and says what each branch has to do for it.
func (s *Service) planPlace(ctx context.Context, id string, r OrderRequest) (twophase.Work, error) {
	order, err := s.price(ctx, id, r)
	if err != nil {
		return twophase.Work{}, err
	}
	outcome, err := twophase.Success(http.StatusCreated, order)
	return twophase.Work{
		Outcome: outcome,
		Payloads: map[string]any{
			BranchBooks:  reservePayload{Action: "reserve", OrderID: id, Lines: reserveLines(order.Items)},
			BranchOrders: placePayload{Action: "place", Order: order.placed()},
		},
	}, err
}

// shortages reads from a refusal how many copies of which books are left. A request
// that waits for one of them is refused with what is said about that one.
func shortages(refusal *fault.Error) (short []twophase.Shortage) {
	if refusal.Kind != kinds.OutOfStock {
		return nil
	}
	var said struct {
		Books []struct {
			BookID    int64  `json:"bookId"`
			Available *int64 `json:"available"`
		} `json:"books"`
	}
	text, err := json.Marshal(refusal.Details)
	if err != nil || json.Unmarshal(text, &said) != nil {
		return nil
	}
	for _, b := range said.Books {
		if b.Available == nil {
			continue
		}
		one := *refusal
		one.Details = map[string]any{"books": []any{map[string]any{"bookId": b.BookID, "available": *b.Available}}}
		short = append(short, twophase.Shortage{Resource: resource(b.BookID), Left: *b.Available, Refusal: &one})
	}
	return short
}

// resource names a book to the queues.
func resource(bookID int64) string { return strconv.FormatInt(bookID, 10) }

// price makes an order of a request, as the shop would sell it now.
func (s *Service) price(ctx context.Context, id string, r OrderRequest) (Order, error) {
	var quotes []Quote
	err := s.Transactions.Read(ctx, func(ctx context.Context) (err error) {
		quotes, err = s.Quotes.Quote(ctx, r.bookIDs())
		return err
	})
	if err != nil {
		return Order{}, err
	}
	return newOrder(id, r, quotes, s.Clock())
}

// placed is the order as it is sent to the orders service.
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
