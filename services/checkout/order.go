package checkout

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
	"bookstore/services/txn/twophase"
)

// OrderRequest is what a customer asks for.
type OrderRequest struct {
	CustomerID string        `json:"customerId"`
	Items      []RequestItem `json:"items"`
}

// RequestItem is one book of an order request.
type RequestItem struct {
	BookID   int64 `json:"bookId"`
	Quantity int64 `json:"quantity"`
	// UnitPriceCents is the price that the customer was shown; nil accepts any.
	UnitPriceCents *int64 `json:"unitPriceCents,omitempty"`
}

// Validate reports every problem of the request at once, each with the field
// it is in (such as items[1].bookId), as fault.InvalidField.
func (r OrderRequest) Validate() error {
	problems := customerProblems(r.CustomerID)
	switch n := len(r.Items); {
	case n == 0:
		problems = append(problems, problem("items", "required", "an order has at least one item"))
	case n > limits.OrderItems:
		problems = append(problems, problem("items", "too_many", "an order has at most %d items, this one has %d", limits.OrderItems, n))
	default:
		problems = append(problems, itemProblems(r.Items)...)
	}
	if len(problems) > 0 {
		return fault.Invalid(problems...)
	}
	return nil
}

func customerProblems(id string) []fault.Field {
	const field = "customerId"
	switch {
	case !text.Visible(id):
		return []fault.Field{problem(field, "required", "say whose order this is")}
	case utf8.RuneCountInString(id) > limits.CustomerID:
		return []fault.Field{problem(field, "too_long", "at most %d characters", limits.CustomerID)}
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return []fault.Field{problem(field, "invalid", "printable characters only")}
	}
	return nil
}

func itemProblems(items []RequestItem) []fault.Field {
	var problems []fault.Field
	seen := make(map[int64]int, len(items))
	for i, item := range items {
		bookField := fmt.Sprintf("items[%d].bookId", i)
		before, repeated := seen[item.BookID]
		switch {
		case item.BookID < 1:
			problems = append(problems, problem(bookField, "out_of_range", "a book's id is a positive number"))
		case repeated:
			problems = append(problems, problem(bookField, "duplicate", "the same book as items[%d]: add up the quantities", before))
		default:
			seen[item.BookID] = i
		}
		if item.Quantity < 1 || item.Quantity > limits.Quantity {
			problems = append(problems, problem(fmt.Sprintf("items[%d].quantity", i), "out_of_range", "from 1 to %d", limits.Quantity))
		}
		if price := item.UnitPriceCents; price != nil && (*price < 0 || *price > limits.Price) {
			problems = append(problems, problem(fmt.Sprintf("items[%d].unitPriceCents", i), "out_of_range", "from 0 to %d", limits.Price))
		}
	}
	return problems
}

func problem(field, code, detail string, args ...any) fault.Field {
	return fault.Field{Field: field, Code: code, Detail: fmt.Sprintf(detail, args...)}
}

func (r OrderRequest) bookIDs() []int64 {
	ids := make([]int64, len(r.Items))
	for i, item := range r.Items {
		ids[i] = item.BookID
	}
	return ids
}

func (r OrderRequest) wants() []twophase.Want {
	wants := make([]twophase.Want, len(r.Items))
	for i, item := range r.Items {
		wants[i] = twophase.Want{Resource: resource(item.BookID), Amount: item.Quantity}
	}
	return wants
}

// Request is an order that is paid for.
type Request struct {
	CustomerID       string        `json:"customerId"`
	Items            []RequestItem `json:"items"`
	Payment          Payment       `json:"payment"`
	RequiresApproval bool          `json:"requiresApproval"`
}

// Payment says how a checkout is paid for.
type Payment struct {
	Method string `json:"method"`
	Token  string `json:"token"` // of the payment provider, never a card's number
}

// methodCard is the one method of payment that the provider knows.
const methodCard = "card"

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (r Request) order() OrderRequest { return OrderRequest{r.CustomerID, r.Items} }

// Validate reports every problem of the request at once, as fault.InvalidField.
func (r Request) Validate() error {
	var problems []fault.Field
	if err := r.order().Validate(); err != nil {
		problems = fault.As(err).Fields
	}
	if r.Payment.Method != methodCard {
		problems = append(problems, problem("payment.method", "unknown", "must be %q", methodCard))
	}
	if !tokenPattern.MatchString(r.Payment.Token) {
		problems = append(problems, problem("payment.token", "invalid", "a token of the payment provider: letters, digits, _ and -, at most 128"))
	}
	if len(problems) > 0 {
		return fault.Invalid(problems...)
	}
	return nil
}

// The states of an order that the coordinator sets or reads.
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

// Quote is the price of a book at this moment. It is not binding: the books
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
