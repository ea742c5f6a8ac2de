package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bookstore/warehouse/catalogue"
)

// What is kept of a book in the course of time, by its source.
var (
	bookColumns  = []string{"id", "version", "title", "price_cents", "currency", "deleted_at"}
	stockColumns = []string{"book_id", "version", "quantity"}
)

const historyKept = "id, version, title, price_cents, currency, deleted_at, stock_version, quantity"

const historyView = `
	create or replace view warehouse.book_history as
	select KEPT, valid_from, valid_to from (
		select present, KEPT, seen as valid_from, lead(seen) over (partition by id order by seen) as valid_to from FILES)
	where present`

// historyDays is how long it is known how a book was. What came after it was that long ago goes
// with the next run that reads all; how each book is now, or was last, stays.
const historyDays = 400

// History carries on what the books and their stock were at each cut, once the views are made.
// A run that reads all puts the history into one file; others add what is new, and compare for that
// with the version before, so that what they read does not grow with the history. It makes the view
// warehouse.book_history, where valid_to is null for what is valid now.
func (d *Draft) History(ctx context.Context, m, last *Manifest) error {
	books, stock := m.Table("bookdb", "public", "books"), m.Table("bookdb", "public", "stock")
	if last != nil {
		m.History = last.History
	}
	if has(books, bookColumns) && has(stock, stockColumns) {
		if err := d.remember(ctx, m, last); err != nil {
			return fmt.Errorf("carry on the history of the books: %w", err)
		}
	} else {
		m.Notes = append(m.Notes, "the history of the books is not carried on: bookdb has no books or no stock as of this cut, or other columns")
	}
	if len(m.History) == 0 {
		return nil
	}
	_, err := d.Duck.ExecContext(ctx, strings.NewReplacer("KEPT", historyKept, "FILES", d.read(m.History...)).Replace(historyView))
	if err != nil {
		return fmt.Errorf("make the view of the books' history: %w", err)
	}
	return nil
}

// remember writes what is new. A book that is there no more is told by a row that says so.
const remember = `
	with now as (
		select b.id, b.version, b.title, b.price_cents, b.currency, b.deleted_at, s.version as stock_version, s.quantity
		from bookdb.books b left join bookdb.stock s on s.book_id = b.id),
	latest as LATEST,
	changed as (
		select true as present, KEPT from (select KEPT from now except select KEPT from latest)
		union all
		select false, KEPT from latest where id not in (select id from now))
	select AT::timestamptz as seen, present, KEPT from changed`

// How the books were last, by what there is: no history, all of it, or the version before.
const (
	latestNone    = `(select KEPT from now where false)`
	latestHistory = `(select KEPT from (select present, KEPT from FILES qualify row_number() over (partition by id order by seen desc) = 1) where present)`
	latestVersion = `(select b.id, b.version, b.title, b.price_cents, b.currency, b.deleted_at, s.version as stock_version, s.quantity
		from (BOOKS) b left join (STOCK) s on s.book_id = b.id)`
)

// recent is the history without what nothing later than historyDays ago was compared with.
const recent = ` union all
	select seen, present, KEPT from (
		select seen, present, KEPT, lead(seen) over (partition by id order by seen) as until from FILES)
	where until is null or until > AT::timestamptz - interval 'DAYS days'`

func (d *Draft) remember(ctx context.Context, m, last *Manifest) error {
	fill := strings.NewReplacer("KEPT", historyKept, "FILES", d.read(m.History...), "DAYS", strconv.Itoa(historyDays),
		"AT", catalogue.Literal(m.At.UTC().Format("2006-01-02 15:04:05.000000+00")))
	latest, query := fill.Replace(latestNone), remember
	if len(m.History) > 0 {
		latest = fill.Replace(latestHistory)
		books, stock := last.Table("bookdb", "public", "books"), last.Table("bookdb", "public", "stock")
		if m.Kind != Full && has(books, bookColumns) && has(stock, stockColumns) {
			latest = strings.NewReplacer("BOOKS", d.rows(books), "STOCK", d.rows(stock)).Replace(latestVersion)
		}
	}
	if m.Kind == Full && len(m.History) > 0 {
		query += recent
	}
	file, err := d.Path("warehouse", "book_history", ".parquet")
	if err != nil {
		return err
	}
	// What is filled in is not filled in again: names of files may have any letters.
	before, after, _ := strings.Cut(query, "LATEST")
	file, err = d.write(ctx, file, fill.Replace(before)+latest+fill.Replace(after))
	if err != nil || file.Rows == 0 { // what nothing names goes
		return err
	}
	if m.Kind == Full {
		m.History = nil
	}
	m.History = append(slices.Clone(m.History), file)
	return nil
}

func has(t *Table, columns []string) bool {
	if t == nil || t.Run != "" {
		return false
	}
	return !slices.ContainsFunc(columns, func(name string) bool {
		return !slices.ContainsFunc(t.Kept(), func(c catalogue.Column) bool { return c.Here() == name })
	})
}
