package orders

import (
	"context"
	"time"
)

// Store reads orders, always the newest committed state except for lists with a token.
type Store interface {
	// Get returns one order, or OrderNotFound.
	Get(ctx context.Context, id string) (Order, error)
	// List returns at most f.Limit orders, the newest first, and the cursor of the next page; nil on the last page. With
	// f.Token the list includes that write and all before it, but may lag by a second. MalformedRequest when f.Token is
	// not a token.
	List(ctx context.Context, f Filter) ([]Order, *Cursor, error)
}

// Filter chooses orders; zero values choose all.
type Filter struct {
	CustomerID string
	Status     Status
	After      *Cursor // nil starts with the newest
	Limit      int
	Token      string // of a write that the list has to show; "": of all
}

// Cursor is the place of an order in a list. Neither part ever changes, so a
// cursor stays valid while orders come and no order shows twice.
type Cursor struct {
	CreatedAt time.Time `json:"at"`
	ID        string    `json:"id"`
}

// Action is what the orders branch of a transaction does.
type Action string

// The actions.
const (
	Place  Action = "place"
	Cancel Action = "cancel"
)

// Change is the orders branch's part of a transaction: Place needs Order,
// Cancel needs OrderID and At.
type Change struct {
	Action  Action
	Order   Order
	OrderID string
	At      time.Time
}
