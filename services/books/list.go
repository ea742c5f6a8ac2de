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
	ByRelevance Sort = "relevance" // to the words searched for; without any, by id
)

// known tells for each order whether edits can move a book in it.
var known = map[Sort]bool{
	ByID: false, NewestFirst: false, ByRelevance: false,
	ByTitle: true, ByTitleDesc: true, ByPrice: true, ByPriceDesc: true,
}

// Movable reports that an edit can move a book in this order, and so past a
// reader who is in the middle of the list.
func (s Sort) Movable() bool { return known[s] }

// Filter selects the books of a list; empty fields select all.
type Filter struct {
	Text     string // words of title or authors, the last one perhaps unfinished
	Author   string // words of the authors
	Language string // a BCP 47 tag: en lists en-GB as well
}

// hash binds a cursor to its filter.
func (f Filter) hash() string {
	sum := sha256.Sum256([]byte(f.Text + "\x00" + f.Author + "\x00" + f.Language))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// Searches reports that the filter has words. The list may then include near matches.
func (f Filter) Searches() bool { return f.Text != "" || f.Author != "" }

// Query selects one page of a list.
type Query struct {
	Filter
	Sort  Sort
	Limit int
	After *Cursor // nil is the first page
	Token string  // of a write that the list has to show; "" for none
}

// Page is one page of a list.
type Page struct {
	Books []Book
	Near  int           // of a search: how many at the end have words like those searched for only
	Next  *Cursor       // nil on the last page
	Age   time.Duration // how far behind the newest state the page may be
}

// Cursor is the place after a book in one list. Start, in an order that edits
// change, is the database's snapshot when the list began: a book edited since
// is left out of later pages, as it may have been on an earlier one under its
// old title or price. In order of relevance it is that of the last time that
// the book's title or authors changed.
type Cursor struct {
	Sort   Sort   `json:"s"`
	Filter string `json:"f"`
	ID     int64  `json:"i"`
	Start  string `json:"x,omitempty"`
	Title  string `json:"t,omitempty"`
	Price  int64  `json:"p,omitempty"`
	Place         // in order of relevance
}

// mostClasses bounds the class of a cursor that a client made up, for the database.
const mostClasses = 100

// Place is where a list in order of relevance, or a search whose matches are
// near ones, goes on. Within a class books come by id, in that of a common
// word's titles by Title.
type Place struct {
	Class int  `json:"c,omitempty"`
	Dense bool `json:"d,omitempty"` // the list's words are so common that its classes are few
	Near  bool `json:"n,omitempty"` // the list has come to its near matches
	Shown int  `json:"m,omitempty"` // exact matches so far, counted up to what is few
}

// Behind makes the cursor of the place after a book. snapshot is that of the list's first
// page; title is the part of the book's title that the order goes by.
func (q Query) Behind(snapshot string, id int64, title string, price int64) *Cursor {
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

// ForeignCursor is the refusal of a cursor that was not made for this list.
func ForeignCursor() *fault.Error {
	return fault.Invalid(fault.Field{Field: "cursor", Code: "invalid", Detail: "is not a cursor of this list"})
}

// Check returns the query in its normal form, or a fault that names every bad
// parameter. A cursor of another list is one.
func (q Query) Check() (Query, error) {
	var p problems
	q.Text, q.Author = strings.TrimSpace(q.Text), strings.TrimSpace(q.Author)
	if q.Sort == "" {
		q.Sort = ByRelevance
	}
	if q.Sort == ByRelevance && !q.Searches() {
		q.Sort = ByID
	}
	if _, ok := known[q.Sort]; !ok {
		p.addf("sort", "unknown", "must be relevance, id, title, -title, price, -price or newest")
	}
	q.Language = checkLanguage(&p, q.Language)
	if q.After != nil && (q.After.Sort != q.Sort || q.After.Filter != q.hash() || q.After.Class < 0 || q.After.Class > mostClasses) {
		p = append(p, ForeignCursor().Fields...)
	}
	return q, p.err()
}
