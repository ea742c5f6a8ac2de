package books

import (
	"cmp"
	"fmt"
	"slices"

	"bookstore/services/shop/limits"
)

// Action is a change of stock by an order.
type Action string

// The actions of the books branch of a distributed transaction.
const (
	Reserve Action = "reserve" // take copies for an order, at the quoted prices
	Restock Action = "restock" // give the copies of a cancelled order back
)

// Line is some copies of one book. UnitPriceCents is the quoted price and
// means nothing to Restock.
type Line struct {
	BookID         int64 `json:"bookId"`
	Quantity       int64 `json:"quantity"`
	UnitPriceCents int64 `json:"unitPriceCents"`
}

// Reservation is the books branch's part of placing or cancelling an order.
type Reservation struct {
	Action  Action `json:"action"`
	OrderID string `json:"orderId"`
	Lines   []Line `json:"lines"`
}

// Check returns the reservation with its lines in id order, the order in which
// rows are locked everywhere, or a fault that names every bad field.
func (r Reservation) Check() (Reservation, error) {
	var p problems
	if r.Action != Reserve && r.Action != Restock {
		p.addf("action", "unknown", "must be reserve or restock")
	}
	if len(r.Lines) == 0 || len(r.Lines) > limits.OrderItems {
		p.addf("lines", "out_of_range", "must be 1 to %d lines", limits.OrderItems)
	}
	seen := map[int64]bool{}
	for i, line := range r.Lines {
		if line.Quantity < 1 || line.Quantity > limits.Quantity {
			p.addf(fmt.Sprintf("lines[%d].quantity", i), "out_of_range", "must be 1 to %d", limits.Quantity)
		}
		if seen[line.BookID] {
			p.addf(fmt.Sprintf("lines[%d].bookId", i), "duplicate", "the book is in an earlier line")
		}
		seen[line.BookID] = true
	}
	r.Lines = slices.SortedFunc(slices.Values(r.Lines), func(a, b Line) int { return cmp.Compare(a.BookID, b.BookID) })
	return r, p.err()
}
