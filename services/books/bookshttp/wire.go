package bookshttp

import (
	"time"

	"bookstore/services/books"
	"bookstore/services/platform/web"
)

// bookJSON is a book in the API.
type bookJSON struct {
	ID            int64     `json:"id"`
	SourceID      string    `json:"sourceId,omitempty"`
	ISBN          string    `json:"isbn,omitempty"`
	Title         string    `json:"title"`
	Authors       []string  `json:"authors"`
	PublishedYear *int      `json:"publishedYear,omitempty"`
	Language      string    `json:"language,omitempty"`
	PriceCents    int64     `json:"priceCents"`
	Currency      string    `json:"currency"`
	Quantity      int64     `json:"quantity"`
	InStock       bool      `json:"inStock"`
	Version       int64     `json:"version"`
	StockVersion  int64     `json:"stockVersion"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
	Match         string    `json:"match,omitempty"` // in a search: exact or near
}

func showBook(b books.Book) bookJSON {
	return bookJSON{
		ID: b.ID, SourceID: b.SourceID, ISBN: b.ISBN, Title: b.Title, Authors: b.Authors,
		PublishedYear: b.PublishedYear, Language: b.Language, PriceCents: b.PriceCents, Currency: b.Currency,
		Quantity: b.Quantity, InStock: b.Quantity > 0, Version: b.Version, StockVersion: b.StockVersion,
		CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt,
	}
}

// availabilityJSON is a book's stock in the API.
type availabilityJSON struct {
	BookID    int64 `json:"bookId"`
	Available int64 `json:"available"`
	InStock   bool  `json:"inStock"`
}

func showAvailability(a books.Availability) availabilityJSON {
	return availabilityJSON{BookID: a.BookID, Available: a.Available, InStock: a.Available > 0}
}

// entryJSON is a catalogue entry in a request. The price is required.
type entryJSON struct {
	SourceID      string   `json:"sourceId"`
	ISBN          string   `json:"isbn"`
	Title         string   `json:"title"`
	Authors       []string `json:"authors"`
	PublishedYear *int     `json:"publishedYear"`
	Language      string   `json:"language"`
	PriceCents    *int64   `json:"priceCents"`
	Currency      string   `json:"currency"`
}

func (e entryJSON) entry() books.Entry {
	return books.Entry{
		SourceID: e.SourceID, ISBN: e.ISBN, Title: e.Title, Authors: e.Authors,
		PublishedYear: e.PublishedYear, Language: e.Language, PriceCents: price(e.PriceCents), Currency: e.Currency,
	}
}

// price is the given price, or books.NoPrice.
func price(given *int64) int64 {
	if given == nil {
		return books.NoPrice
	}
	return *given
}

// draftJSON is a new book in a request. The default quantity is 0.
type draftJSON struct {
	entryJSON
	Quantity int64 `json:"quantity"`
}

func (d draftJSON) draft() books.Draft {
	return books.Draft{Entry: d.entry(), Quantity: d.Quantity}
}

// patchJSON is a merge patch of an entry: an absent member leaves its field as it is, null clears it.
type patchJSON struct {
	SourceID      web.Optional[string]   `json:"sourceId"`
	ISBN          web.Optional[string]   `json:"isbn"`
	Title         web.Optional[string]   `json:"title"`
	Authors       web.Optional[[]string] `json:"authors"`
	PublishedYear web.Optional[int]      `json:"publishedYear"`
	Language      web.Optional[string]   `json:"language"`
	PriceCents    web.Optional[int64]    `json:"priceCents"`
	Currency      web.Optional[string]   `json:"currency"`
}

func (p patchJSON) apply(e books.Entry) books.Entry {
	patch(p.SourceID, &e.SourceID)
	patch(p.ISBN, &e.ISBN)
	patch(p.Title, &e.Title)
	patch(p.Authors, &e.Authors)
	patch(p.Language, &e.Language)
	patch(p.PriceCents, &e.PriceCents)
	patch(p.Currency, &e.Currency)
	if p.PriceCents.Null {
		e.PriceCents = books.NoPrice
	}
	switch {
	case p.PublishedYear.Null:
		e.PublishedYear = nil
	case p.PublishedYear.Set:
		e.PublishedYear = &p.PublishedYear.Value
	}
	return e
}

// patch sets the field unless the member is absent. null sets the zero value.
func patch[T any](given web.Optional[T], field *T) {
	if given.Set {
		*field = given.Value
	}
}

// sourceDraftJSON is a record of a source in a request.
type sourceDraftJSON struct {
	draftJSON

	PriceIsInitial bool `json:"priceIsInitial"`
}

// quoteJSON is the price of a book, for the coordinator to price an order.
type quoteJSON struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	UnitPriceCents int64  `json:"unitPriceCents"`
	Currency       string `json:"currency"`
}

func showQuotes(quotes []books.Quote) []quoteJSON {
	shown := make([]quoteJSON, 0, len(quotes))
	for _, q := range quotes {
		shown = append(shown, quoteJSON(q))
	}
	return shown
}
