// Package books is the catalogue and its stock: what a book is, which values are valid, and what a store of books guarantees.
// Its adapters are bookspg (PostgreSQL), bookshttp (HTTP) and announce (caches).
package books

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/currency"
	"bookstore/services/shop/isbn"
	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
)

// Entry is a book's catalogue entry: what editors change. The stock is not part of it.
type Entry struct {
	SourceID      string // the book's id in the source that it was imported from; "" is none
	ISBN          string // as isbn.Normalise returns it; "" is none
	Title         string
	Authors       []string
	PublishedYear *int   // negative before Christ; nil is unknown
	Language      string // BCP 47; "" is unknown
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

// Book is the current state of a book. Version counts edits of the entry, StockVersion changes of the stock; both start at 1.
type Book struct {
	Entry
	ID           int64
	Quantity     int64
	Version      int64
	StockVersion int64
	CreatedAt    time.Time
	UpdatedAt    time.Time // the last edit of the entry
}

// The bounds of a book's fields; lengths are in characters.
const (
	maxAuthor   = 200
	maxLanguage = 35
	firstYear   = -5000
	yearsAhead  = 5 // for announced books
	MaxSourceID = limits.SourceID
	MaxQuantity = 1_000_000
	MaxDelta    = 1_000_000
)

// NoPrice is the PriceCents of an entry without a price. Check refuses it.
const NoPrice = math.MinInt64

// Check returns the draft in its canonical form, or a fault that names every invalid field.
func (d Draft) Check(now time.Time) (Draft, error) {
	var p problems
	d.Entry = d.check(now, &p)
	if d.Quantity < 0 || d.Quantity > MaxQuantity {
		p.addf("quantity", "out_of_range", "must be 0 to %d", MaxQuantity)
	}
	return d, p.err()
}

// Check returns the entry in its canonical form, or a fault that names every invalid field.
func (e Entry) Check(now time.Time) (Entry, error) {
	var p problems
	e = e.check(now, &p)
	return e, p.err()
}

func (e Entry) check(now time.Time, p *problems) Entry {
	if e.SourceID != "" {
		checkSourceID(p, e.SourceID)
	}
	if e.ISBN != "" {
		number, ok := isbn.Normalise(e.ISBN)
		if !ok {
			p.addf("isbn", "check_digit", "must be an ISBN of 10 or 13 digits with a right check digit")
		}
		e.ISBN = number
	}
	checkText(p, "title", e.Title, limits.Title)
	checkAuthors(p, e.Authors)
	if year := e.PublishedYear; year != nil && (*year < firstYear || *year > now.Year()+yearsAhead || *year == 0) {
		p.addf("publishedYear", "out_of_range", "must be %d to %d and not 0, which no calendar has", firstYear, now.Year()+yearsAhead)
	}
	e.Language = checkLanguage(p, e.Language)
	switch {
	case e.PriceCents == NoPrice:
		p.addf("priceCents", "required", "must be given, 0 to %d", limits.Price)
	case e.PriceCents < 0 || e.PriceCents > limits.Price:
		p.addf("priceCents", "out_of_range", "must be 0 to %d", limits.Price)
	}
	checkCurrency(p, e.Currency)
	return e
}

func checkAuthors(p *problems, authors []string) {
	if len(authors) == 0 {
		p.addf("authors", "required", "must name at least one author")
	}
	if len(authors) > limits.Authors {
		p.addf("authors", "too_many", "may name %d authors", limits.Authors)
		return
	}
	for i, author := range authors {
		checkText(p, fmt.Sprintf("authors[%d]", i), author, maxAuthor)
	}
}

func checkText(p *problems, field, value string, limit int) {
	switch {
	case !utf8.ValidString(value):
		p.addf(field, "invalid_utf8", "must be UTF-8")
	case strings.ContainsRune(value, 0):
		p.addf(field, "nul_character", "NUL characters are not allowed")
	case !text.Visible(value):
		p.addf(field, "required", "must have a visible character")
	case utf8.RuneCountInString(value) > limit:
		p.addf(field, "too_long", "may have %d characters", limit)
	}
}

// checkLanguage returns the tag in its canonical form: en-us becomes en-US, eng becomes en.
func checkLanguage(p *problems, text string) string {
	if text == "" {
		return ""
	}
	tag, err := language.Parse(text)
	if err != nil || len(text) > maxLanguage {
		p.addf("language", "unknown", "must be a BCP 47 language tag, such as en-GB")
		return text
	}
	return tag.String()
}

func checkCurrency(p *problems, text string) {
	if text == "" {
		p.addf("currency", "required", "must be an ISO 4217 code, such as EUR")
		return
	}
	if !currency.Payable(text) {
		p.addf("currency", "unknown", "must be an active ISO 4217 code in capitals, such as EUR")
	}
}

// CheckSourceID refuses an invalid source id.
func CheckSourceID(id string) error {
	var p problems
	checkSourceID(&p, id)
	return p.err()
}

// checkSourceID accepts ids as sources have them, with slashes, spaces and letters of any script, if every character is
// visible.
func checkSourceID(p *problems, id string) {
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
	switch {
	case id == "":
		p.addf("sourceId", "required", "must be given")
	case !utf8.ValidString(id):
		p.addf("sourceId", "invalid_utf8", "must be UTF-8")
	case utf8.RuneCountInString(id) > MaxSourceID:
		p.addf("sourceId", "too_long", "may have %d characters", MaxSourceID)
	case !text.Visible(id) || strings.ContainsFunc(id, hidden) || strings.TrimSpace(id) != id:
		p.addf("sourceId", "invalid_character", "must be visible characters, with blanks only between them")
	}
}

// problems collects the invalid fields.
type problems []fault.Field

func (p *problems) addf(field, code, format string, args ...any) {
	*p = append(*p, fault.Field{Field: field, Code: code, Detail: fmt.Sprintf(format, args...)})
}

// err is nil, or the fault that names every invalid field.
func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	return fault.Invalid(*p...)
}
