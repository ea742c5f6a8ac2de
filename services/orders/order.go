// Package orders defines orders, and how their status may change. Branches of two-phase commits and steps of sagas create
// and change orders; this service's own requests only read them.
package orders

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/currency"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
)

// Status is the state of an order. Two-phase commits place and cancel orders. Checkouts create paid orders, and returns take
// them back; both are sagas, and until a saga ends its step may be undone.
//
//	placed by a transaction        created by a checkout
//	           │                             │
//	           ▼                             ▼      return
//	         placed                         paid ───────────► returned
//	           │ cancel                      │   ◄───────────
//	           ▼            undo             │       undo
//	       cancelled ◄───────────────────────┘
type Status string

// The statuses.
const (
	Placed    Status = "placed"
	Paid      Status = "paid"
	Cancelled Status = "cancelled"
	Returned  Status = "returned"
)

// Known reports whether s is one of the statuses.
func (s Status) Known() bool {
	return s == Placed || s == Paid || s == Cancelled || s == Returned
}

// Order is what a customer bought. Money is in minor units of Currency.
type Order struct {
	ID         string // UUID version 7
	CustomerID string
	Status     Status
	Items      []Item
	TotalCents int64
	Currency   string // ISO 4217
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Version    int64 // counts changes of the status, from 1
}

// Item is one line of an order. Title and price are those of the time of the order, and never change.
type Item struct {
	BookID         int64
	Title          string
	Quantity       int64
	UnitPriceCents int64
}

// NotCancellable is the refusal to cancel an order in this status.
func NotCancellable(s Status) error { return refused(kinds.NotCancellable, s) }

// NotReturnable is the refusal to take back an order in this status.
func NotReturnable(s Status) error { return refused(kinds.NotReturnable, s) }

func refused(kind fault.Kind, s Status) error {
	return fault.New(kind, "the order is "+string(s))
}

// NotFound is the fault for an id that no order has.
func NotFound() error { return fault.New(kinds.OrderNotFound, "there is no such order") }

// Check returns a fault that names every invalid field of a new order. It does not check Status, UpdatedAt and Version, which
// are set when the order is stored.
func (o Order) Check() error {
	var fields []fault.Field
	add := func(field, code, detail string) {
		fields = append(fields, fault.Field{Field: "order." + field, Code: code, Detail: detail})
	}
	if !IsID(o.ID) {
		add("id", "pattern", "must be a UUID")
	}
	if n := utf8.RuneCountInString(o.CustomerID); n < 1 || n > limits.CustomerID || strings.ContainsRune(o.CustomerID, 0) {
		add("customerId", "out_of_range", fmt.Sprintf("must be 1 to %d characters", limits.CustomerID))
	}
	if !currency.Payable(o.Currency) {
		add("currency", "unknown", "must be an active ISO 4217 code")
	}
	if o.CreatedAt.IsZero() {
		add("createdAt", "required", "")
	}
	if len(o.Items) < 1 || len(o.Items) > limits.OrderItems {
		add("items", "out_of_range", fmt.Sprintf("must be 1 to %d", limits.OrderItems))
	}
	for i, item := range o.Items {
		if detail := item.problem(); detail != "" {
			add(fmt.Sprintf("items[%d]", i), "invalid", detail)
		}
	}
	switch total, ok := o.sum(); {
	case !ok || total != o.TotalCents:
		add("totalCents", "mismatch", "must be the sum of the items")
	case total > limits.Total:
		add("totalCents", "out_of_range", fmt.Sprintf("must be 0 to %d", int64(limits.Total)))
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// problem says what is wrong with the item; "" when it is valid.
func (i Item) problem() string {
	switch {
	case i.BookID < 1:
		return "bookId must be positive"
	case i.Quantity < 1 || i.Quantity > limits.Quantity:
		return fmt.Sprintf("quantity must be 1 to %d", limits.Quantity)
	case i.UnitPriceCents < 0:
		return "unitPriceCents must not be negative"
	case i.Title == "" || utf8.RuneCountInString(i.Title) > limits.Title || strings.ContainsRune(i.Title, 0):
		return fmt.Sprintf("title must be 1 to %d characters", limits.Title)
	}
	return ""
}

// sum is the price of all items. ok is false when an item is negative or the sum overflows.
func (o Order) sum() (total int64, ok bool) {
	for _, item := range o.Items {
		if item.Quantity < 0 || item.UnitPriceCents < 0 {
			return 0, false
		}
		if item.Quantity > 0 && item.UnitPriceCents > (math.MaxInt64-total)/item.Quantity {
			return 0, false
		}
		total += item.Quantity * item.UnitPriceCents
	}
	return total, true
}

// IsID reports whether text is a UUID in its canonical form.
func IsID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// Store reads orders, always their newest committed state, except for lists with a token.
type Store interface {
	// Get returns one order. OrderNotFound when there is none.
	Get(ctx context.Context, id string) (Order, error)
	// List returns at most f.Limit orders, the newest first, and the cursor of the next page; nil on the last page. A list
	// with f.Token includes that write and all before it, and may lag by a second. MalformedRequest when f.Token is not a
	// token.
	List(ctx context.Context, f Filter) ([]Order, *Cursor, error)
}

// Filter selects the orders of a list. Empty CustomerID and Status select all.
type Filter struct {
	CustomerID string
	Status     Status
	After      *Cursor // nil on the first page
	Limit      int
	Token      string // of a write that the list has to include; "" includes all
}

// Cursor is the place of an order in a list. Neither field of an order changes, so no order is listed twice and cursors stay
// valid.
type Cursor struct {
	CreatedAt time.Time `json:"at"`
	ID        string    `json:"id"`
}

// Action is what a two-phase commit does to an order.
type Action string

// The actions.
const (
	Place  Action = "place"
	Cancel Action = "cancel"
)

// Change is the payload of the orders branch of a two-phase commit. Place needs Order; Cancel needs OrderID and At.
type Change struct {
	Action  Action
	Order   Order
	OrderID string
	At      time.Time
}
