package books

import (
	"cmp"
	"fmt"
	"slices"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
)

// Availability is the number of copies in stock, at this version of the stock.
type Availability struct {
	BookID       int64
	Available    int64
	StockVersion int64
}

// Quote is the current price of a book.
type Quote struct {
	BookID         int64
	Title          string
	UnitPriceCents int64
	Currency       string
}

// CheckDelta refuses a change of stock that is 0 or beyond MaxDelta.
func CheckDelta(delta int64) error {
	var p problems
	if delta == 0 || delta < -MaxDelta || delta > MaxDelta {
		p.addf("delta", "out_of_range", "must be -%d to %d and not 0", MaxDelta, MaxDelta)
	}
	return p.err()
}

// Action is what an order does to the stock.
type Action string

// The actions of the books branch of a two-phase commit.
const (
	Reserve Action = "reserve" // take copies for an order, at the quoted prices
	Restock Action = "restock" // return the copies of a cancelled order
)

// Line is a number of copies of one book. UnitPriceCents is the quoted price; Restock ignores it.
type Line struct {
	BookID         int64 `json:"bookId"`
	Quantity       int64 `json:"quantity"`
	UnitPriceCents int64 `json:"unitPriceCents"`
}

// Reservation is the payload of the books branch, and of the books steps of sagas.
type Reservation struct {
	Action  Action `json:"action"`
	OrderID string `json:"orderId"`
	Lines   []Line `json:"lines"`
}

// Check returns the reservation with its lines sorted by book, the order in which all transactions lock rows, or a fault that
// names every invalid field.
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

// Short refuses for lack of copies, and has what is left of each book.
func Short(left ...Availability) *fault.Error {
	f := fault.New(kinds.OutOfStock, "not enough copies are left")
	f.Details = perBook(left, func(a Availability) map[string]any {
		return map[string]any{"bookId": a.BookID, "available": a.Available}
	})
	return f
}

// Repriced refuses outdated prices, and has the current ones.
func Repriced(lines ...Line) *fault.Error {
	f := fault.New(kinds.PriceChanged, "the price is another one now")
	f.Details = perBook(lines, func(l Line) map[string]any {
		return map[string]any{"bookId": l.BookID, "unitPriceCents": l.UnitPriceCents}
	})
	return f
}

// Unknown refuses an order for books that never existed. positions are those of the ids in the order's items.
func Unknown(ids []int64, positions []int) *fault.Error {
	f := fault.New(kinds.BookNotFoundInOrder, "the order names a book that does not exist")
	f.Details = perBook(ids, func(id int64) map[string]any { return map[string]any{"bookId": id} })
	for _, i := range positions {
		f.Fields = append(f.Fields, fault.Field{Field: fmt.Sprintf("items[%d].bookId", i), Code: "not_found", Detail: "there is no such book"})
	}
	return f
}

// TooMany refuses more stock than a book can have.
func TooMany(field string) *fault.Error {
	return fault.Invalid(fault.Field{Field: field, Code: "out_of_range", Detail: "would leave more copies than a book can have"})
}

// perBook is the member "books" of a problem, with an element for each item.
func perBook[T any](items []T, show func(T) map[string]any) map[string]any {
	list := make([]map[string]any, 0, len(items))
	for _, item := range items {
		list = append(list, show(item))
	}
	return map[string]any{"books": list}
}
