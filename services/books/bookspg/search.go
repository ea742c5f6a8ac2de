package bookspg

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

const (
	// few exact matches, and a search goes on with near ones.
	few = 5
	// probed books are looked at by id to tell whether a search's words are common;
	// for fewer than smallShop books it is not worth it.
	probed    = 2000
	smallShop = 20_000
	// manyMatches is how many matches are ranked: more of them take too long.
	manyMatches = 15_000
	// nearClass is the first class of near matches.
	nearClass = 10
)

// search reads a page in order of relevance. Books come by class: those whose
// title is what is searched for, is so but for subtitle and article, begins with
// it, has all its words, and the rest; then, where those are few, near matches.
// A book's class depends on the book and the search alone, so that what comes
// and goes between two pages moves no other book.
func (r *reading) search(ctx context.Context, db pg.Querier, q books.Query) (page books.Page, err error) {
	page.Books = []books.Book{}
	var at books.Place
	var snapshot string
	if q.After != nil {
		at, snapshot = q.After.Place, q.After.Start
	} else if at.Common, err = common(ctx, db, r.exact); err != nil {
		return page, err
	}
	room := q.Limit
	after := q.After
	if !at.Near {
		run := r.ranked(r.exact, "", q, after)
		if at.Common {
			run = r.dense(q, after)
		}
		next, err := fill(ctx, db, q, run, &page, snapshot, room, at)
		if err != nil || next != nil {
			page.Next = next
			return page, err
		}
		at.Shown = min(few, at.Shown+len(page.Books))
		if at.Shown >= few {
			return page, nil
		}
		after, room = nil, q.Limit-len(page.Books)
		at.Near = true
	}
	near, err := r.near(ctx, db, at.Shown == 0)
	if err != nil || near == "" {
		return page, err
	}
	exact := len(page.Books)
	page.Next, err = fill(ctx, db, q, r.ranked(near, r.exact, q, after), &page, snapshot, room, at)
	page.Near = len(page.Books) - exact
	return page, err
}

// list reads a page in an order of its own: of exact matches, or of near ones
// where there is no exact one.
func (r *reading) list(ctx context.Context, db pg.Querier, q books.Query) (page books.Page, err error) {
	if q.After == nil || !q.After.Near {
		page, err = list(ctx, db, q, r.exact)
		if err != nil || len(page.Books) > 0 || q.After != nil {
			return page, err
		}
	}
	near, err := r.near(ctx, db, true)
	if err != nil || near == "" {
		return page, err
	}
	page, err = list(ctx, db, q, near)
	page.Near = len(page.Books)
	if page.Next != nil {
		page.Next.Near = true
	}
	return page, err
}

// probe estimates how many books match from those with the lowest ids: these
// are also the first that a list of a common word shows.
const probe = `
select case when t.n >= $2 then (
	select count(*) * (t.n / $3)
	from (select words from book_search order by book_id limit $3::bigint) k
	where k.words @@ $1::tsquery) else 0 end
from (select reltuples::float8 as n from pg_class where oid = 'book_search'::regclass) t`

func common(ctx context.Context, db pg.Querier, words string) (bool, error) {
	var matches float64
	err := db.QueryRow(ctx, probe, words, float64(smallShop), float64(probed)).Scan(&matches)
	return matches > manyMatches, pg.Fault("estimate the matches", err)
}

// statement is one of a search.
type statement struct {
	sql  string
	args []any
}

// pageOf reads the books of matches m: book_id, class and place, in their order,
// and the snapshot. A replica does not know which transactions are running: its
// snapshot shows only those before the oldest of them.
const pageOf = `
select ` + columns + `, m.class, m.place,
	case when pg_is_in_recovery() then concat(pg_snapshot_xmin(now.snapshot), ':', pg_snapshot_xmin(now.snapshot), ':')
		else now.snapshot::text end
from (%s) m join books b on b.id = m.book_id join stock s on s.book_id = b.id,
	pg_current_snapshot() now (snapshot)
where b.deleted_at is null
order by m.class, m.place, m.book_id`

// ranked finds all matches and ranks them. The matches are found first, as their
// number is bounded (see common), and not in order of id until there are enough.
func (r *reading) ranked(words, without string, q books.Query, after *books.Cursor) statement {
	class := fmt.Sprintf("case when words @@ $2::tsquery then %d else %d end", nearClass, nearClass+1)
	args := []any{words, r.inTitle, q.Limit + 1}
	w := where{args: args}
	w.and("true")
	if without == "" {
		w.args = append(w.args, r.title, r.key)
		class = `case when $5 = '' then 4 when title = $4 then 0 when key = $5 then 1
			when key > $5 and key < $5 || chr(1114111) then 2
			when words @@ $2::tsquery then 3 else 4 end`
	} else {
		w.and("not words @@ %s::tsquery", without)
		w.args[1] = r.nearOnce
	}
	unmoved, behind := "true", "true"
	if after != nil {
		w.args = append(w.args, after.Class, after.ID)
		behind = fmt.Sprintf("(class, book_id) > ($%d, $%d)", len(w.args)-1, len(w.args))
	}
	if q.After != nil {
		w.args = append(w.args, q.After.Start)
		unmoved = fmt.Sprintf("pg_visible_in_snapshot(changed_xid, $%d::text::pg_snapshot)", len(w.args))
	}
	sql := fmt.Sprintf(`
	with found as materialized (
		select book_id, title, key, words from book_search where words @@ $1::tsquery and %s and %s)
	select book_id, class, place from (select book_id, %s as class, '' collate "C" as place from found) c
	where %s order by class, book_id limit $3`, strings.Join(w.conditions, " and "), unmoved, class, behind)
	return statement{fmt.Sprintf(pageOf, sql), w.args}
}

// dense reads the matches of common words from indexes that are in the list's
// order, and stops when there are enough: titles that are what is searched for,
// those that begin so, in their order, and all others by id.
func (r *reading) dense(q books.Query, after *books.Cursor) statement {
	unmoved, class, place, id := "true", 0, "", int64(0)
	args := []any{r.exact, r.title, r.key, q.Limit + 1}
	if after != nil {
		class, place, id = after.Class, after.Title, after.ID
		args = append(args, after.Start)
		unmoved = "pg_visible_in_snapshot(changed_xid, $5::text::pg_snapshot)"
	}
	const begins = "$3 <> '' and key >= $3 and key < $3 || chr(1114111)"
	parts := []struct{ place, where, order string }{
		{"''", "title = $2 and $2 <> '' and book_id > %[2]d", "book_id"},
		{"key", "title <> $2 and " + begins + " and (key, book_id) > (%[1]s, %[2]d)", "key, book_id"},
		{"''", "title <> $2 and not (" + begins + ") and book_id > %[2]d", "book_id"},
	}
	var all []string
	for n, p := range parts {
		if n < class || r.title == "" && n < len(parts)-1 {
			continue
		}
		from, behind := "''", int64(0)
		if n == class {
			if behind = id; p.place == "key" {
				args = append(args, place)
				from = fmt.Sprintf("$%d::text", len(args))
			}
		}
		where := strings.NewReplacer("%[1]s", from, "%[2]d", strconv.FormatInt(behind, 10)).Replace(p.where)
		all = append(all, fmt.Sprintf(`(select book_id, %d as class, %s collate "C" as place from book_search
			where words @@ $1::tsquery and %s and %s order by %s limit $4)`, n, p.place, unmoved, where, p.order))
	}
	return statement{fmt.Sprintf(pageOf, "select book_id, class, place from ("+strings.Join(all, "\nunion all\n")+") u limit $4"), args}
}

// fill adds the books that a statement finds to a page with room for so many,
// and returns where the list goes on, nil at its end.
func fill(ctx context.Context, db pg.Querier, q books.Query, run statement, page *books.Page, snapshot string, room int, at books.Place) (*books.Cursor, error) {
	rows, err := db.Query(ctx, run.sql, run.args...)
	if err != nil {
		return nil, searchFault(q, err)
	}
	defer rows.Close()
	next := q.CursorAfter(snapshot, 0, "", 0) // before the first near match, if none has room
	next.Place = at
	next.Class = 0
	for ; rows.Next(); room-- {
		var book books.Book
		var place, now string
		if err := scan(rows, &book, &at.Class, &place, &now); err != nil {
			return nil, pg.Fault("read a book that was found", err)
		}
		if snapshot == "" {
			snapshot = now
		}
		if room == 0 {
			next.Start = snapshot
			return next, nil
		}
		page.Books = append(page.Books, book)
		next = q.CursorAfter(snapshot, book.ID, place, 0)
		next.Place = at
		if !at.Near {
			next.Shown = min(few, at.Shown+len(page.Books))
		}
	}
	return nil, searchFault(q, rows.Err())
}

func searchFault(q books.Query, err error) error {
	if err != nil && pg.Code(err) == invalidText && q.After != nil {
		return books.ForeignCursor() // its snapshot is none
	}
	return pg.Fault("search books", err)
}
