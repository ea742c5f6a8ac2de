package checkout

import (
	"fmt"
	"math"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
)

// The states of an order that the coordinator brings about or looks at.
const (
	StatusPlaced    = "placed"
	StatusPaid      = "paid"
	StatusCancelled = "cancelled"
)

// Order is an order as the API shows it. Money is in minor units of
// Currency; times are UTC, to the microsecond.
type Order struct {
	ID         string    `json:"id"`
	CustomerID string    `json:"customerId"`
	Status     string    `json:"status"`
	Items      []Line    `json:"items"`
	TotalCents int64     `json:"totalCents"`
	Currency   string    `json:"currency"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	Version    int64     `json:"version"`
}

// Line is one book of an order, at the price its stock was reserved at.
type Line struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unitPriceCents"`
}

// Quote is the price of a book at this moment. It binds nobody: the books
// branch compares it under its row lock.
type Quote struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	UnitPriceCents int64  `json:"unitPriceCents"`
	Currency       string `json:"currency"`
}

// newOrder prices a request. It refuses orders in more than one currency, at
// other prices than the customer named, and totals that are more than one
// payment may be.
func newOrder(id string, r OrderRequest, quotes []Quote, now time.Time) (Order, error) {
	priced := make(map[int64]Quote, len(quotes))
	for _, q := range quotes {
		priced[q.BookID] = q
	}
	if err := pricesMet(r.Items, priced); err != nil {
		return Order{}, err
	}
	at := now.UTC().Truncate(time.Microsecond)
	o := Order{ID: id, CustomerID: r.CustomerID, Status: StatusPlaced, CreatedAt: at, UpdatedAt: at, Version: 1}
	for i, item := range r.Items {
		q, ok := priced[item.BookID]
		if !ok {
			return Order{}, fault.Newf(fault.Internal, "no quote for book %d", item.BookID)
		}
		if o.Currency == "" {
			o.Currency = q.Currency
		}
		if q.Currency != o.Currency {
			return Order{}, mixedCurrencies(i, q.Currency, o.Currency)
		}
		total, ok := addPrice(o.TotalCents, q.UnitPriceCents, item.Quantity)
		if !ok || total > limits.Total {
			return Order{}, fault.Invalid(problem(fmt.Sprintf("items[%d].quantity", i), "out_of_range",
				"with it the order's total is more than %d, in minor units of %s", int64(limits.Total), o.Currency))
		}
		o.TotalCents = total
		o.Items = append(o.Items, Line{BookID: q.BookID, Title: q.Title, Quantity: item.Quantity, UnitPriceCents: q.UnitPriceCents})
	}
	return o, nil
}

// pricesMet refuses items whose price is another one than the customer named,
// all of them, with the prices that stand.
func pricesMet(items []RequestItem, priced map[int64]Quote) error {
	var fields []fault.Field
	var books []map[string]any
	for i, item := range items {
		q, ok := priced[item.BookID]
		if !ok || item.UnitPriceCents == nil || *item.UnitPriceCents == q.UnitPriceCents {
			continue
		}
		fields = append(fields, problem(fmt.Sprintf("items[%d].unitPriceCents", i), "price_changed", "the price is %d now, not %d", q.UnitPriceCents, *item.UnitPriceCents))
		books = append(books, map[string]any{"bookId": q.BookID, "unitPriceCents": q.UnitPriceCents})
	}
	if len(fields) == 0 {
		return nil
	}
	return &fault.Error{
		Kind: kinds.PriceNotMet, Message: "the price is another one now: nothing was bought",
		Fields: fields, Details: map[string]any{"books": books},
	}
}

func mixedCurrencies(item int, got, want string) error {
	f := fault.Newf(kinds.MixedCurrencies, "all books of an order are sold in one currency")
	f.Fields = []fault.Field{problem(fmt.Sprintf("items[%d].bookId", item), "mixed_currencies", "sold in %s, the order is in %s", got, want)}
	return f
}

// addPrice is sum + price*quantity for non-negative numbers, and whether it
// fits.
func addPrice(sum, price, quantity int64) (int64, bool) {
	if sum < 0 || price < 0 || quantity < 0 {
		return 0, false
	}
	if quantity > 0 && price > (math.MaxInt64-sum)/quantity {
		return 0, false
	}
	return sum + price*quantity, true
}

// cancelled is the order as it will be once it is cancelled. Clocks of two
// instances differ: it is never updated before it was made.
func (o Order) cancelled(at time.Time) Order {
	o.Status = StatusCancelled
	if at = at.UTC().Truncate(time.Microsecond); at.After(o.UpdatedAt) {
		o.UpdatedAt = at
	}
	o.Version++
	return o
}
