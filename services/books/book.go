// Package books is the catalogue and its stock: what a book is, which rules it
// keeps, and what a store of books promises. Adapters live beside it: bookspg
// keeps books in PostgreSQL, bookshttp speaks HTTP.
package books

import (
	"slices"
	"time"
)

// Entry is a book's catalogue entry: the fields that editors change. Stock is not part of it.
type Entry struct {
	SourceID      string // id in the source it was imported from; "" has none
	ISBN          string // normalised; "" has none
	Title         string
	Authors       []string
	PublishedYear *int   // may be negative (BCE); nil is not known
	Language      string // BCP 47; "" is not known
	PriceCents    int64  // in minor units of Currency
	Currency      string // ISO 4217
}

// Equal reports whether all fields are equal.
func (e Entry) Equal(other Entry) bool {
	return e.SourceID == other.SourceID && e.ISBN == other.ISBN && e.Title == other.Title &&
		slices.Equal(e.Authors, other.Authors) && sameYear(e.PublishedYear, other.PublishedYear) &&
		e.Language == other.Language && e.PriceCents == other.PriceCents && e.Currency == other.Currency
}

func sameYear(a, b *int) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// Draft is a new book: its entry and its first stock.
type Draft struct {
	Entry
	Quantity int64
}

// Book is the current state of a book. Version counts edits of the entry and
// StockVersion changes of the stock; both begin at 1.
type Book struct {
	Entry
	ID           int64
	Quantity     int64
	Version      int64
	StockVersion int64
	CreatedAt    time.Time
	UpdatedAt    time.Time // the last edit of the entry
}

// Availability is the number of copies in stock, as of this version of the stock.
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
