package bookspg

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/shop/isbn"
)

// order is a sort in SQL: its keys, and the condition of the books after a cursor, with %s for the cursor's values.
type order struct {
	by    string
	after string
	key   func(books.Cursor) any // the value of the first key; nil when id is the only key
}

func titleKey(c books.Cursor) any { return c.Title }
func priceKey(c books.Cursor) any { return c.Price }

var orders = map[books.Sort]order{
	books.ByID:        {by: "b.id", after: "b.id > %s"},
	books.NewestFirst: {by: "b.id desc", after: "b.id < %s"},
	books.ByTitle:     {by: "b.title_key, b.id", after: "(b.title_key, b.id) > (%s, %s)", key: titleKey},
	books.ByTitleDesc: {by: "b.title_key desc, b.id desc", after: "(b.title_key, b.id) < (%s, %s)", key: titleKey},
	books.ByPrice:     {by: "b.price_cents, b.id", after: "(b.price_cents, b.id) > (%s, %s)", key: priceKey},
	books.ByPriceDesc: {by: "b.price_cents desc, b.id desc", after: "(b.price_cents, b.id) < (%s, %s)", key: priceKey},
}

// invalidText is PostgreSQL's code for text that is not a value of its type.
const invalidText = "22P02"

// where collects conditions and their arguments.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition. Each %s in it becomes the placeholder of an argument.
func (w *where) and(condition string, args ...any) {
	places := make([]any, 0, len(args))
	for _, arg := range args {
		w.args = append(w.args, arg)
		places = append(places, "$"+strconv.Itoa(len(w.args)))
	}
	w.conditions = append(w.conditions, fmt.Sprintf(condition, places...))
}

// List implements books.Store.
func (s *Store) List(ctx context.Context, q books.Query) (page books.Page, err error) {
	after, err := pg.ParsePosition(q.Token)
	if err != nil {
		return page, err
	}
	// Orders that edits change need a snapshot of the leader: a replica does not know which transactions are running. Later
	// pages of a search come from the leader too: it has all that the replica of the first page had.
	if s.replicas == nil || s.tx != nil || q.Sort.Movable() || q.Sort == books.ByRelevance && q.After != nil {
		return listOrSearch(ctx, s.db(), q)
	}
	age, err := s.replicas.Read(ctx, after, func(ctx context.Context, db pg.Querier) (err error) {
		page, err = listOrSearch(ctx, db, q)
		return err
	})
	page.Age = age
	return page, err
}

func listOrSearch(ctx context.Context, db pg.Querier, q books.Query) (books.Page, error) {
	if !q.Searches() {
		return list(ctx, db, q, match{})
	}
	if number, ok := isbnOf(q); ok {
		if page, err := list(ctx, db, q, match{isbn: number}); err != nil || len(page.Books) > 0 {
			return page, err
		}
	}
	s, err := parseSearch(ctx, db, q.Filter)
	if err != nil || s.empty {
		return books.Page{Books: []books.Book{}}, err
	}
	if q.Sort == books.ByRelevance {
		return s.page(ctx, db, q)
	}
	return s.sortedPage(ctx, db, q)
}

// shortestISBN is the length of a search from which it may be an ISBN. isbn.Normalise takes shorter numbers too, but people search
// by those for years and titles.
const shortestISBN = 10

// isbnOf returns the ISBN that a search consists of, if it does. Its list has one page; later ones are of a search for words.
func isbnOf(q books.Query) (number string, ok bool) {
	if len(q.Text) < shortestISBN || q.Author != "" || q.After != nil {
		return "", false
	}
	return isbn.Normalise(q.Text)
}

// match is what the books of a list must match; the zero value matches all.
type match struct {
	words string // a tsquery
	isbn  string // in either of its forms
}

// list reads a page in an order that an index has.
func list(ctx context.Context, db pg.Querier, q books.Query, m match) (books.Page, error) {
	sql, args := listSQL(q, m)
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return books.Page{}, pg.Fault("list books", err)
	}
	defer rows.Close()
	page := books.Page{Books: []books.Book{}}
	var next *books.Cursor
	for rows.Next() {
		var book books.Book
		var title string
		var snapshot string
		if err := scan(rows, &book, &title, &snapshot); err != nil {
			return books.Page{}, pg.Fault("read a listed book", err)
		}
		if len(page.Books) == q.Limit { // the statement reads one row more than the page has
			page.Next = next
			break
		}
		if q.After != nil {
			snapshot = q.After.Start
		}
		page.Books = append(page.Books, book)
		next = q.CursorAfter(snapshot, book.ID, title, book.PriceCents)
	}
	rows.Close()
	switch err := rows.Err(); {
	case err != nil && pg.Code(err) == invalidText && q.After != nil:
		return books.Page{}, books.ForeignCursor() // its snapshot is not one
	case err != nil:
		return books.Page{}, pg.Fault("list books", err)
	}
	return page, nil
}

func listSQL(q books.Query, m match) (string, []any) {
	by, sorted := orders[q.Sort]
	if !sorted { // one book is in any order
		by = orders[books.ByID]
	}
	var w where
	w.and("b.deleted_at is null")
	if m.words != "" {
		w.and("exists (select from book_search k where k.book_id = b.id and k.words @@ %s::tsquery)", m.words)
	}
	if m.isbn != "" { // the condition of the index books_isbn
		w.and("isbn13(b.isbn) = isbn13(%s) and not b.isbn_shared", m.isbn)
	}
	if q.Language != "" { // no character of a language tag is special to like
		w.and("(b.language = %s or b.language like %s)", q.Language, q.Language+"-%")
	}
	if c := q.After; c != nil {
		if by.key == nil {
			w.and(by.after, c.ID)
		} else {
			w.and(by.after, by.key(*c), c.ID)
		}
		if q.Sort.Movable() {
			w.and("pg_visible_in_snapshot(b.edited_xid, %s::text::pg_snapshot)", c.Start)
		}
	}
	sql := "select " + columns + ", b.title_key, pg_current_snapshot()::text" +
		"\nfrom books b join stock s on s.book_id = b.id\nwhere " + strings.Join(w.conditions, "\n\tand ") +
		"\norder by " + by.by + "\nlimit " + strconv.Itoa(q.Limit+1)
	return sql, w.args
}
