package books

import (
	"fmt"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// The refusals of a store; every implementation uses these.

// NotFound refuses an id that no book has or had.
func NotFound(id int64) *fault.Error {
	return fault.Newf(kinds.BookNotFound, "there is no book %d", id)
}

// Gone refuses a deleted book.
func Gone(ids ...int64) *fault.Error {
	f := fault.New(kinds.BookGone, "the book is no longer in the catalogue")
	f.Details = perBook(ids, func(id int64) map[string]any { return map[string]any{"bookId": id} })
	return f
}

// VersionDiffers refuses an edit of another version than the current one.
func VersionDiffers(version int64) *fault.Error {
	return fault.Newf(fault.VersionMismatch, "the book is at version %d now", version)
}

// Taken refuses a field whose value another book has.
func Taken(field string) *fault.Error {
	return fault.Invalid(fault.Field{Field: field, Code: "taken", Detail: "another book has it"})
}

// Short refuses for lack of copies, and states what is left of each book.
func Short(left ...Availability) *fault.Error {
	f := fault.New(kinds.OutOfStock, "not enough copies are left")
	f.Details = perBook(left, func(a Availability) map[string]any {
		return map[string]any{"bookId": a.BookID, "available": a.Available}
	})
	return f
}

// Repriced refuses outdated prices, and states the new ones.
func Repriced(lines ...Line) *fault.Error {
	f := fault.New(kinds.PriceChanged, "the price is another one now")
	f.Details = perBook(lines, func(l Line) map[string]any {
		return map[string]any{"bookId": l.BookID, "unitPriceCents": l.UnitPriceCents}
	})
	return f
}

// Unknown is the refusal of an order for books that never were; positions are
// those of the ids in the order's items.
func Unknown(ids []int64, positions []int) *fault.Error {
	f := fault.New(kinds.BookNotFoundInOrder, "the order names a book that does not exist")
	f.Details = perBook(ids, func(id int64) map[string]any { return map[string]any{"bookId": id} })
	for _, i := range positions {
		f.Fields = append(f.Fields, fault.Field{Field: fmt.Sprintf("items[%d].bookId", i), Code: "not_found", Detail: "there is no such book"})
	}
	return f
}

// TooMany is the refusal of more stock than a book can have.
func TooMany(field string) *fault.Error {
	return fault.Invalid(fault.Field{Field: field, Code: "out_of_range", Detail: "would leave more copies than a book can have"})
}

// perBook is the "books" member of a problem.
func perBook[T any](items []T, show func(T) map[string]any) map[string]any {
	list := make([]map[string]any, 0, len(items))
	for _, item := range items {
		list = append(list, show(item))
	}
	return map[string]any{"books": list}
}
