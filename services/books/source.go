package books

import "slices"

// Stated is what a source has stated about a book. Empty fields were never stated. It is stored as JSON.
type Stated struct {
	ISBN          string   `json:"isbn,omitempty"`
	Title         string   `json:"title,omitempty"`
	Authors       []string `json:"authors,omitempty"`
	PublishedYear *int     `json:"publishedYear,omitempty"`
	Language      string   `json:"language,omitempty"`
	Price         *Price   `json:"price,omitempty"`
}

// Price is merged as one field, because an amount means nothing without its currency.
type Price struct {
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

// SourceDraft is one record of a source.
type SourceDraft struct {
	Draft

	// PriceIsInitial is true when the source states no price. The draft's price, like its quantity, is then used only to
	// create the book.
	PriceIsInitial bool
}

// Stated returns what the record states.
func (d SourceDraft) Stated() Stated {
	s := d.stated()
	if d.PriceIsInitial {
		s.Price = nil
	}
	return s
}

// stated is the entry as what a source states, with all fields stated.
func (e Entry) stated() Stated {
	return Stated{
		ISBN: e.ISBN, Title: e.Title, Authors: e.Authors, PublishedYear: e.PublishedYear, Language: e.Language,
		Price: &Price{Cents: e.PriceCents, Currency: e.Currency},
	}
}

// FirstStated returns what is stored as stated when the record creates a book. It includes an initial price, so that a price
// that the source states later replaces it.
func (d SourceDraft) FirstStated() Stated { return d.stated() }

// SourceResult is the effect of a record of a source. The lists have the API's names of fields.
type SourceResult struct {
	Book
	Created   bool
	Changed   []string // set to what the record states
	Kept      []string // edited in the shop, and not changed by the source since
	Conflicts []string // edited in the shop and changed by the source: the edit is kept
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

// Equal reports whether both have the same values.
func (s Stated) Equal(other Stated) bool {
	return !slices.ContainsFunc(sourceFields, func(f sourceField) bool { return !f.same(s, other) })
}

// Merge sets the fields of an entry to what the record states. before is what the source stated until now: a field in which
// the entry differs from it was edited in the shop, and is kept. Fields that the record does not state are kept too. Merge
// returns the entry, what the source has now stated, and the effect on each field.
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
