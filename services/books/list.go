package books

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"bookstore/services/platform/fault"
)

// Sort is an order in which books are listed; ties are broken by id.
type Sort string

// The orders of a list.
const (
	ByID        Sort = "id"
	ByTitle     Sort = "title"
	ByTitleDesc Sort = "-title"
	ByPrice     Sort = "price"
	ByPriceDesc Sort = "-price"
	NewestFirst Sort = "newest"
	ByRelevance Sort = "relevance" // of a search; a list without one is by id
)

// sorts are the valid orders. The value tells whether edits can move a book in it.
var sorts = map[Sort]bool{
	ByID: false, NewestFirst: false, ByRelevance: false,
	ByTitle: true, ByTitleDesc: true, ByPrice: true, ByPriceDesc: true,
}

// Movable reports whether an edit can move a book in this order, from a page that a client has yet to read to one that it has
// read, or back.
func (s Sort) Movable() bool { return sorts[s] }

// Filter selects the books of a list; empty fields select all.
type Filter struct {
	Text     string // words of title or authors, the last one perhaps unfinished; or an ISBN
	Author   string // words of the authors
	Language string // a BCP 47 tag: en lists en-GB as well
}

// hash identifies the filter in a cursor.
func (f Filter) hash() string {
	sum := sha256.Sum256([]byte(f.Text + "\x00" + f.Author + "\x00" + f.Language))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// Searches reports whether the filter has a search. Its list may include near matches.
func (f Filter) Searches() bool { return f.Text != "" || f.Author != "" }

// Query selects one page of a list.
type Query struct {
	Filter
	Sort  Sort
	Limit int
	After *Cursor // nil is the first page
	Token string  // of a write that the list has to include; "" is none
}

// Page is one page of a list.
type Page struct {
	Books []Book
	Near  int           // in a search: how many books at the end are near matches
	Next  *Cursor       // nil on the last page
	Age   time.Duration // how old the state that the page shows may be
}

// Cursor is the place after a book in one list. Start, in an order that edits change, is the database's snapshot at the first
// page: later pages leave out books that were edited since, because an earlier page may have had them with their old title
// or price. In order of relevance they leave out books whose title or authors changed since.
type Cursor struct {
	Sort   Sort   `json:"s"`
	Filter string `json:"f"`
	ID     int64  `json:"i"`
	Start  string `json:"x,omitempty"`
	Title  string `json:"t,omitempty"`
	Price  int64  `json:"p,omitempty"`
	Place         // of searches
}

// maxClass bounds the class in a cursor that a client made up.
const maxClass = 100

// Place is where a search continues. Books are sorted by class, and within a class by id, or by Title among the titles that
// begin with common words.
type Place struct {
	Class  int  `json:"c,omitempty"`
	Common bool `json:"d,omitempty"` // the search's words are common: its matches are not ranked one by one
	Near   bool `json:"n,omitempty"` // the list has reached its near matches
	Shown  int  `json:"m,omitempty"` // exact matches on earlier pages, up to the number that needs no near ones
}

// CursorAfter makes the cursor of the place after a book. snapshot is that of the list's first page; title is the book's sort
// key in an order by titles.
func (q Query) CursorAfter(snapshot string, id int64, title string, price int64) *Cursor {
	c := &Cursor{Sort: q.Sort, Filter: q.hash(), ID: id}
	if q.Sort.Movable() || q.Sort == ByRelevance {
		c.Start = snapshot
	}
	switch q.Sort {
	case ByTitle, ByTitleDesc, ByRelevance:
		c.Title = title
	case ByPrice, ByPriceDesc:
		c.Price = price
	}
	return c
}

// ForeignCursor refuses a cursor of another list.
func ForeignCursor() *fault.Error {
	return fault.Invalid(fault.Field{Field: "cursor", Code: "invalid", Detail: "is not a cursor of this list"})
}

// Check returns the query in its canonical form, or a fault that names every invalid parameter, a cursor of another list
// included.
func (q Query) Check() (Query, error) {
	var p problems
	q.Text, q.Author = strings.TrimSpace(q.Text), strings.TrimSpace(q.Author)
	if q.Sort == "" {
		q.Sort = ByRelevance
	}
	if q.Sort == ByRelevance && !q.Searches() {
		q.Sort = ByID
	}
	if _, ok := sorts[q.Sort]; !ok {
		p.addf("sort", "unknown", "must be relevance, id, title, -title, price, -price or newest")
	}
	q.Language = checkLanguage(&p, q.Language)
	if q.After != nil && (q.After.Sort != q.Sort || q.After.Filter != q.hash() || q.After.Class < 0 || q.After.Class > maxClass) {
		p = append(p, ForeignCursor().Fields...)
	}
	return q, p.err()
}
