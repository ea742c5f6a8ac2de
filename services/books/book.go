// Package books is the catalogue and its stock: what a book is, which rules it
// keeps, and what a store of books promises. Adapters live beside it: bookspg
// keeps books in PostgreSQL, bookshttp speaks HTTP.
package books

import (
	"slices"
	"time"
)

// Entry is a book's catalogue entry: what people edit. Stock is no part of it.
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

// Equal reports that both entries say the same.
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

// Draft is a book to be: its entry and its first stock.
type Draft struct {
	Entry
	Quantity int64
}

// Book is a book as it stands. Version counts edits of the entry and
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

// Availability is what is left of a book as of this version of its stock.
type Availability struct {
	BookID       int64
	Available    int64
	StockVersion int64
}

// Quote is the price at which a book is offered now.
type Quote struct {
	BookID         int64
	Title          string
	UnitPriceCents int64
	Currency       string
}
