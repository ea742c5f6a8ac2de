// Package orders defines orders and how their status may change. Orders are created and changed only by branches of
// two-phase commits and by steps of sagas; requests to this service read them.
package orders

import (
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Status is the state of an order. A two-phase commit places it and cancels it.
// A checkout creates it when the money is there, paid from the start; a return
// takes it back. Both are sagas: while one is not finished, its step may be undone.
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
	Version    int64 // 1, and one more with every change of status
}

// Item is one line of an order. Title and price are those at the time of the order and never change.
type Item struct {
	BookID         int64
	Title          string
	Quantity       int64
	UnitPriceCents int64
}

// NotCancellable is the refusal to cancel an order in this status.
func NotCancellable(s Status) error { return not(kinds.NotCancellable, s) }

// NotReturnable is the refusal to take back an order in this status.
func NotReturnable(s Status) error { return not(kinds.NotReturnable, s) }

func not(kind fault.Kind, s Status) error {
	return fault.New(kind, "the order is "+string(s))
}

// NotFound is the fault of an order that does not exist.
func NotFound() error { return fault.New(kinds.OrderNotFound, "there is no such order") }
