package books

import "slices"

// Stated is what a source has stated about a book; an empty field was never stated. It is stored as JSON.
type Stated struct {
	ISBN          string   `json:"isbn,omitempty"`
	Title         string   `json:"title,omitempty"`
	Authors       []string `json:"authors,omitempty"`
	PublishedYear *int     `json:"publishedYear,omitempty"`
	Language      string   `json:"language,omitempty"`
	Price         *Price   `json:"price,omitempty"`
}

// Price is one field in a merge, because an amount means nothing without its currency.
type Price struct {
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

// SourceDraft is one record of a source.
type SourceDraft struct {
	Draft

	// PriceIsInitial tells that the source states no price: the draft's price is used only when the book is created, as
	// its quantity always is.
	PriceIsInitial bool
}

// Stated is what the record states.
func (d SourceDraft) Stated() Stated {
	s := d.stated()
	if d.PriceIsInitial {
		s.Price = nil
	}
	return s
}

// stated is an entry as if a source had stated all of it.
func (e Entry) stated() Stated {
	return Stated{
		ISBN: e.ISBN, Title: e.Title, Authors: e.Authors, PublishedYear: e.PublishedYear, Language: e.Language,
		Price: &Price{Cents: e.PriceCents, Currency: e.Currency},
	}
}

// FirstStated is what is stored as stated when a book is created. It includes an initial price, so that a price which the
// source states later replaces it.
func (d SourceDraft) FirstStated() Stated { return d.stated() }

// SourceResult is the effect of a record of a source. The lists have the fields' names in the API.
type SourceResult struct {
	Book
	Created   bool
	Changed   []string // now as the record states them
	Kept      []string // edited by others, and not changed by the source since
	Conflicts []string // edited by others and changed by the source: the edit stays
}

// sourceField is how a merge handles one field.
type sourceField struct {
	name   string
	stated func(Stated) bool
	same   func(a, b Stated) bool
	copy   func(from Stated, to *Stated)
}

var sourceFields = []sourceField{
	{
		"isbn", func(s Stated) bool { return s.ISBN != "" },
		func(a, b Stated) bool { return a.ISBN == b.ISBN }, func(from Stated, to *Stated) { to.ISBN = from.ISBN },
	},
	{
		"title", func(s Stated) bool { return s.Title != "" },
		func(a, b Stated) bool { return a.Title == b.Title }, func(from Stated, to *Stated) { to.Title = from.Title },
	},
	{
		"authors", func(s Stated) bool { return len(s.Authors) > 0 },
		func(a, b Stated) bool { return slices.Equal(a.Authors, b.Authors) },
		func(from Stated, to *Stated) { to.Authors = from.Authors },
	},
	{
		"publishedYear", func(s Stated) bool { return s.PublishedYear != nil },
		func(a, b Stated) bool { return sameYear(a.PublishedYear, b.PublishedYear) },
		func(from Stated, to *Stated) { to.PublishedYear = from.PublishedYear },
	},
	{
		"language", func(s Stated) bool { return s.Language != "" },
		func(a, b Stated) bool { return a.Language == b.Language },
		func(from Stated, to *Stated) { to.Language = from.Language },
	},
	{
		"priceCents", func(s Stated) bool { return s.Price != nil },
		func(a, b Stated) bool {
			return a.Price == b.Price || (a.Price != nil && b.Price != nil && *a.Price == *b.Price)
		},
		func(from Stated, to *Stated) { to.Price = from.Price },
	},
}

// Equal reports whether both state the same.
func (s Stated) Equal(other Stated) bool {
	return !slices.ContainsFunc(sourceFields, func(f sourceField) bool { return !f.same(s, other) })
}

// Merge gives an entry what the record states. before is what the source has
// stated until now: a field in which the entry differs from it was edited by
// others, and stays. What the record does not state stays too. It returns the
// entry, what the source has stated from now on, and what became of the fields.
func (d SourceDraft) Merge(entry Entry, before Stated) (Entry, Stated, SourceResult) {
	now, book, after := d.Stated(), entry.stated(), before
	var r SourceResult
	for _, f := range sourceFields {
		stated, edited := f.stated(now), !f.same(book, before)
		if stated {
			f.copy(now, &after)
		}
		switch {
		case stated && f.same(book, now):
		case stated && !edited:
			f.copy(now, &book)
			r.Changed = append(r.Changed, f.name)
		case !edited:
		case !stated || f.same(now, before):
			r.Kept = append(r.Kept, f.name)
		default:
			r.Conflicts = append(r.Conflicts, f.name)
		}
	}
	entry.ISBN, entry.Title, entry.Authors = book.ISBN, book.Title, book.Authors
	entry.PublishedYear, entry.Language = book.PublishedYear, book.Language
	entry.PriceCents, entry.Currency = book.Price.Cents, book.Price.Currency
	return entry, after, r
}
