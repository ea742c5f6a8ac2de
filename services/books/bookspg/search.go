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
	// fewMatches: near matches follow when a search has fewer exact ones.
	fewMatches = 5
	// sampledBooks is how many books, by id, are read to estimate the matches of a search.
	sampledBooks = 2000
	// smallCatalogue is the number of books below which no estimate is made.
	smallCatalogue = 20_000
	// maxRanked is the number of matches above which a search is not ranked match by match: that takes too long.
	maxRanked = 15_000
	// nearClass is the first class of near matches.
	nearClass = 10
)

// page reads a page in order of relevance. Books are sorted by class: 0 their title is the search, 1 it is but for subtitle and
// article, 2 it begins with the search, 3 it has all words, 4 the rest; then near matches if there are few. The class of a
// book depends on the book and the search alone, so an edit between two pages moves no other book.
func (s *search) page(ctx context.Context, db pg.Querier, q books.Query) (page books.Page, err error) {
	page.Books = []books.Book{}
	var at books.Place
	var snapshot string
	if q.After != nil {
		at, snapshot = q.After.Place, q.After.Start
	} else if at.Common, err = tooCommon(ctx, db, s.exact); err != nil {
		return page, err
	}
	room, after := q.Limit, q.After
	if !at.Near {
		matches := s.rankedMatches(s.exact, "", q, after)
		if at.Common {
			matches = s.commonMatches(q, after)
		}
		next, err := readMatches(ctx, db, q, matches, &page, snapshot, room, at)
		if err != nil || next != nil {
			page.Next = next
			return page, err
		}
		at.Shown = min(fewMatches, at.Shown+len(page.Books))
		if at.Shown >= fewMatches {
			return page, nil
		}
		after, room = nil, q.Limit-len(page.Books)
		at.Near = true
	}
	near, err := s.nearQuery(ctx, db, at.Shown == 0)
	if err != nil || near == "" {
		return page, err
	}
	exact := len(page.Books)
	page.Next, err = readMatches(ctx, db, q, s.rankedMatches(near, s.exact, q, after), &page, snapshot, room, at)
	page.Near = len(page.Books) - exact
	return page, err
}

// sortedPage reads a page of a search in another order: of exact matches, or of near ones when there is no exact one.
func (s *search) sortedPage(ctx context.Context, db pg.Querier, q books.Query) (page books.Page, err error) {
	if q.After == nil || !q.After.Near {
		page, err = list(ctx, db, q, match{words: s.exact})
		if err != nil || len(page.Books) > 0 || q.After != nil {
			return page, err
		}
	}
	near, err := s.nearQuery(ctx, db, true)
	if err != nil || near == "" {
		return page, err
	}
	page, err = list(ctx, db, q, match{words: near})
	page.Near = len(page.Books)
	if page.Next != nil {
		page.Next.Near = true
	}
	return page, err
}

// estimateMatches estimates the matches from those among the books with the lowest ids, which are also the first that a list of
// common words shows.
const estimateMatches = `
select case when t.n >= $2 then (
	select count(*) * (t.n / $3)
	from (select words from book_search order by book_id limit $3::bigint) k
	where k.words @@ $1::tsquery) else 0 end
from (select reltuples::float8 as n from pg_class where oid = 'book_search'::regclass) t`

// tooCommon estimates whether a tsquery has more matches than are ranked.
func tooCommon(ctx context.Context, db pg.Querier, words string) (bool, error) {
	var matches float64
	err := db.QueryRow(ctx, estimateMatches, words, float64(smallCatalogue), float64(sampledBooks)).Scan(&matches)
	return matches > maxRanked, pg.Fault("estimate the matches", err)
}

// statement is SQL with its arguments.
type statement struct {
	sql  string
	args []any
}

// selectMatches reads the books of matches m (book_id, class, place), sorted, and the snapshot. On a replica the snapshot has only
// the transactions before the oldest one that is running, because the replica does not know which of the others are.
const selectMatches = `
select ` + columns + `, m.class, m.place,
	case when pg_is_in_recovery() then concat(pg_snapshot_xmin(now.snapshot), ':', pg_snapshot_xmin(now.snapshot), ':')
		else now.snapshot::text end
from (%s) m join books b on b.id = m.book_id join stock s on s.book_id = b.id,
	pg_current_snapshot() now (snapshot)
where b.deleted_at is null
order by m.class, m.place, m.book_id`

// rankedMatches finds all matches of a tsquery and ranks them. without, when not "", is the tsquery of matches to leave out; the
// others are near matches. The CTE is materialized because the number of matches is bounded (tooCommon): else PostgreSQL may
// read books by id until it has enough.
func (s *search) rankedMatches(words, without string, q books.Query, after *books.Cursor) statement {
	class := fmt.Sprintf("case when words @@ $2::tsquery then %d else %d end", nearClass, nearClass+1)
	args := []any{words, s.inTitle, q.Limit + 1}
	w := where{args: args}
	w.and("true")
	if without == "" {
		w.args = append(w.args, s.title, s.key)
		class = `case when $5 = '' then 4 when title = $4 then 0 when key = $5 then 1
			when key > $5 and key < $5 || chr(1114111) then 2
			when words @@ $2::tsquery then 3 else 4 end`
	} else {
		w.and("not words @@ %s::tsquery", without)
		w.args[1] = s.oneReplaced
	}
	unchanged, afterCursor := "true", "true"
	if after != nil {
		w.args = append(w.args, after.Class, after.ID)
		afterCursor = fmt.Sprintf("(class, book_id) > ($%d, $%d)", len(w.args)-1, len(w.args))
	}
	if q.After != nil {
		w.args = append(w.args, q.After.Start)
		unchanged = fmt.Sprintf("pg_visible_in_snapshot(changed_xid, $%d::text::pg_snapshot)", len(w.args))
	}
	sql := fmt.Sprintf(`
	with found as materialized (
		select book_id, title, key, words from book_search where words @@ $1::tsquery and %s and %s)
	select book_id, class, place from (select book_id, %s as class, '' collate "C" as place from found) c
	where %s order by class, book_id limit $3`, strings.Join(w.conditions, " and "), unchanged, class, afterCursor)
	return statement{fmt.Sprintf(selectMatches, sql), w.args}
}

// commonMatches reads the matches of common words from indexes in the order of the list, and stops when there are enough: titles
// that are the search, titles that begin with it, in their order, and all others by id.
func (s *search) commonMatches(q books.Query, after *books.Cursor) statement {
	unchanged, class, place, id := "true", 0, "", int64(0)
	args := []any{s.exact, s.title, s.key, q.Limit + 1}
	if after != nil {
		class, place, id = after.Class, after.Title, after.ID
		args = append(args, after.Start)
		unchanged = "pg_visible_in_snapshot(changed_xid, $5::text::pg_snapshot)"
	}
	const begins = "$3 <> '' and key >= $3 and key < $3 || chr(1114111)"
	classes := []struct{ place, where, order string }{
		{"''", "title = $2 and $2 <> '' and book_id > %[2]d", "book_id"},
		{"key", "title <> $2 and " + begins + " and (key, book_id) > (%[1]s, %[2]d)", "key, book_id"},
		{"''", "title <> $2 and not (" + begins + ") and book_id > %[2]d", "book_id"},
	}
	var all []string
	for n, c := range classes {
		if n < class || s.title == "" && n < len(classes)-1 {
			continue
		}
		afterKey, afterID := "''", int64(0)
		if n == class {
			if afterID = id; c.place == "key" {
				args = append(args, place)
				afterKey = fmt.Sprintf("$%d::text", len(args))
			}
		}
		where := strings.NewReplacer("%[1]s", afterKey, "%[2]d", strconv.FormatInt(afterID, 10)).Replace(c.where)
		all = append(all, fmt.Sprintf(`(select book_id, %d as class, %s collate "C" as place from book_search
			where words @@ $1::tsquery and %s and %s order by %s limit $4)`, n, c.place, unchanged, where, c.order))
	}
	return statement{fmt.Sprintf(selectMatches, "select book_id, class, place from ("+strings.Join(all, "\nunion all\n")+") u limit $4"), args}
}

// readMatches adds up to room books of a statement to a page. It returns the cursor of the place after them, nil at the end of the
// list.
func readMatches(ctx context.Context, db pg.Querier, q books.Query, matches statement, page *books.Page, snapshot string, room int, at books.Place) (*books.Cursor, error) {
	rows, err := db.Query(ctx, matches.sql, matches.args...)
	if err != nil {
		return nil, searchFault(q, err)
	}
	defer rows.Close()
	next := q.CursorAfter(snapshot, 0, "", 0) // when there is no room: before the first match
	next.Place = at
	next.Class = 0
	for ; rows.Next(); room-- {
		var book books.Book
		var place, current string
		if err := scan(rows, &book, &at.Class, &place, &current); err != nil {
			return nil, pg.Fault("read a match", err)
		}
		if snapshot == "" {
			snapshot = current
		}
		if room == 0 {
			next.Start = snapshot
			return next, nil
		}
		page.Books = append(page.Books, book)
		next = q.CursorAfter(snapshot, book.ID, place, 0)
		next.Place = at
		if !at.Near {
			next.Shown = min(fewMatches, at.Shown+len(page.Books))
		}
	}
	return nil, searchFault(q, rows.Err())
}

func searchFault(q books.Query, err error) error {
	if err != nil && pg.Code(err) == invalidText && q.After != nil {
		return books.ForeignCursor() // its snapshot is not one
	}
	return pg.Fault("search books", err)
}
