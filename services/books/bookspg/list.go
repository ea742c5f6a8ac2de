package bookspg

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

// order is a sort in SQL: the keys in their direction, and the condition for
// what comes behind a cursor. %s is the placeholder of a value.
type order struct {
	by     string
	behind string
	key    func(books.Cursor) any // the first key's value; nil when id is the only key
}

func titleKey(c books.Cursor) any { return c.Title }
func priceKey(c books.Cursor) any { return c.Price }

var orders = map[books.Sort]order{
	books.ByID:        {by: "b.id", behind: "b.id > %s"},
	books.NewestFirst: {by: "b.id desc", behind: "b.id < %s"},
	books.ByTitle:     {by: "b.title_key, b.id", behind: "(b.title_key, b.id) > (%s, %s)", key: titleKey},
	books.ByTitleDesc: {by: "b.title_key desc, b.id desc", behind: "(b.title_key, b.id) < (%s, %s)", key: titleKey},
	books.ByPrice:     {by: "b.price_cents, b.id", behind: "(b.price_cents, b.id) > (%s, %s)", key: priceKey},
	books.ByPriceDesc: {by: "b.price_cents desc, b.id desc", behind: "(b.price_cents, b.id) < (%s, %s)", key: priceKey},
}

// invalidText is PostgreSQL's code of text that is no value of its type.
const invalidText = "22P02"

// where gathers conditions with their arguments.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition; each %s in it becomes the placeholder of one argument.
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
	// The snapshot that a listing by what edits change goes by is the leader's: a
	// replica does not know which transactions are running.
	// What follows the first page of a search is the leader's too: it has all that
	// the replica had which the first page came from.
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
		return list(ctx, db, q, "")
	}
	r, err := read(ctx, db, q.Filter)
	if err != nil || !r.asks() {
		return books.Page{Books: []books.Book{}}, err
	}
	if q.Sort == books.ByRelevance {
		return r.search(ctx, db, q)
	}
	return r.list(ctx, db, q)
}

// list reads a page in an order of its own. words, when not "", is what the
// books must match, a tsquery.
func list(ctx context.Context, db pg.Querier, q books.Query, words string) (books.Page, error) {
	sql, args := listSQL(q, words)
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
		if len(page.Books) == q.Limit { // the one row more tells that there is a next page
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
		return books.Page{}, books.ForeignCursor() // its snapshot is none
	case err != nil:
		return books.Page{}, pg.Fault("list books", err)
	}
	return page, nil
}

func listSQL(q books.Query, words string) (string, []any) {
	by := orders[q.Sort]
	var w where
	w.and("b.deleted_at is null")
	if words != "" {
		w.and("exists (select from book_search k where k.book_id = b.id and k.words @@ %s::tsquery)", words)
	}
	if q.Language != "" { // a language tag has no characters that like knows
		w.and("(b.language = %s or b.language like %s)", q.Language, q.Language+"-%")
	}
	if c := q.After; c != nil {
		if by.key == nil {
			w.and(by.behind, c.ID)
		} else {
			w.and(by.behind, by.key(*c), c.ID)
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
