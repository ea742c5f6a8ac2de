package bookspg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

const insertBook = `
with b as (
	insert into books (source_id, isbn, title, authors, published_year, language, price_cents, currency)
	values (nullif($1, ''), nullif($2, ''), $3, $4, $5, nullif($6, ''), $7, $8)
	returning *
), s as (
	insert into stock (book_id, quantity) select id, $9::bigint from b returning *
), ledger as (
	insert into stock_movements (book_id, delta, cause)
	select book_id, quantity, 'initial' from s where quantity <> 0
)
select ` + columns + ` from b, s`

// Create implements books.Store.
func (s *Store) Create(ctx context.Context, draft books.Draft) (books.Book, error) {
	book, err := s.insert(ctx, draft)
	if err != nil {
		return books.Book{}, entryFault("add book", err)
	}
	return book, nil
}

func insert(ctx context.Context, db runner, d books.Draft) (books.Book, error) {
	var book books.Book
	err := scan(db.QueryRow(ctx, insertBook, append(entryArgs(d.Entry), d.Quantity)...), &book)
	return book, err
}

func entryArgs(e books.Entry) []any {
	return []any{e.SourceID, e.ISBN, e.Title, e.Authors, e.PublishedYear, e.Language, e.PriceCents, e.Currency}
}

// Get implements books.Store.
func (s *Store) Get(ctx context.Context, id int64) (books.Book, error) {
	return find(ctx, s.db(), selectBook, id)
}

// Highest implements books.Store.
func (s *Store) Highest(ctx context.Context) (id int64, err error) {
	err = s.db().QueryRow(ctx, "select coalesce(max(id), 0) from books").Scan(&id)
	return id, pg.Fault("find the highest id", err)
}

// lockBook locks the entry against other edits, and not the stock: orders proceed.
const lockBook = selectBook + ` for no key update of b`

const updateBook = `
update books b
set source_id = nullif($2, ''), isbn = nullif($3, ''), title = $4, authors = $5,
	published_year = $6, language = nullif($7, ''), price_cents = $8, currency = $9,
	isbn_shared = b.isbn_shared and b.isbn is not distinct from nullif($3, ''),
	version = b.version + 1, updated_at = now(), edited_xid = pg_current_xact_id()
from stock s
where b.id = $1 and s.book_id = b.id
returning ` + columns

// Edit implements books.Store.
func (s *Store) Edit(ctx context.Context, id int64, ifVersion *int64, edit func(books.Entry) (books.Entry, error)) (books.Book, error) {
	var book books.Book
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		if book, err = lock(ctx, tx, id, ifVersion); err != nil {
			return err
		}
		entry, err := edit(book.Entry)
		if err != nil {
			return err
		}
		book, err = replace(ctx, tx, book, entry)
		return err
	})
	return book, err
}

// lock reads and locks a book for an edit of the version ifVersion, if it is not nil.
func lock(ctx context.Context, tx pgx.Tx, id int64, ifVersion *int64) (books.Book, error) {
	book, err := find(ctx, tx, lockBook, id)
	if err == nil && ifVersion != nil && *ifVersion != book.Version {
		err = books.VersionDiffers(book.Version)
	}
	return book, err
}

// replace writes the entry of a locked book if it differs.
func replace(ctx context.Context, tx pgx.Tx, book books.Book, entry books.Entry) (books.Book, error) {
	if entry.Equal(book.Entry) {
		return book, nil
	}
	err := scan(tx.QueryRow(ctx, updateBook, append([]any{book.ID}, entryArgs(entry)...)...), &book)
	if err != nil {
		return books.Book{}, entryFault("edit book", err)
	}
	return book, nil
}

const deleteBook = `
update books
set deleted_at = now(), version = version + 1, updated_at = now(), edited_xid = pg_current_xact_id()
where id = $1`

// Delete implements books.Store.
func (s *Store) Delete(ctx context.Context, id int64, ifVersion *int64) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := lock(ctx, tx, id, ifVersion); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteBook, id); err != nil {
			return pg.Fault("delete book", err)
		}
		return nil
	})
}

// columns are a book's columns in the order of scan; b is the book and s its stock.
const columns = `b.id, coalesce(b.source_id, ''), coalesce(b.isbn, ''), b.title, b.authors,
	b.published_year, coalesce(b.language, ''), b.price_cents, b.currency,
	s.quantity, b.version, s.version, b.created_at, b.updated_at`

// scan reads columns, and then more.
func scan(row pgx.Row, book *books.Book, more ...any) error {
	into := []any{
		&book.ID, &book.SourceID, &book.ISBN, &book.Title, &book.Authors,
		&book.PublishedYear, &book.Language, &book.PriceCents, &book.Currency,
		&book.Quantity, &book.Version, &book.StockVersion, &book.CreatedAt, &book.UpdatedAt,
	}
	if err := row.Scan(append(into, more...)...); err != nil {
		return err
	}
	book.CreatedAt, book.UpdatedAt = book.CreatedAt.UTC(), book.UpdatedAt.UTC()
	return nil
}

const selectBook = `
select ` + columns + `, b.deleted_at is not null
from books b join stock s on s.book_id = b.id
where b.id = $1`

// find reads one book by selectBook or lockBook.
func find(ctx context.Context, db runner, sql string, id int64) (books.Book, error) {
	var book books.Book
	var gone bool
	err := scan(db.QueryRow(ctx, sql, id), &book, &gone)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return books.Book{}, books.NotFound(id)
	case err != nil:
		return books.Book{}, pg.Fault("read book", err)
	case gone:
		return books.Book{}, books.Gone(id)
	}
	return book, nil
}

// entryFault is the fault for an error of writing an entry.
func entryFault(op string, err error) error {
	switch {
	case pg.IsUnique(err, "books_isbn"):
		return fault.Wrap(op, books.Taken("isbn"))
	case pg.IsUnique(err, "books_source_id"):
		return fault.Wrap(op, books.Taken("sourceId"))
	default:
		return pg.Fault(op, err)
	}
}

// bySource finds the book with a source id. A deleted one counts only when no other has the id: POST may have given it to a new
// book since.
const bySource = `
select id, gone from (
	select id, false from books where source_id = $1 and deleted_at is null
	union all
	(select id, true from books where source_id = $1 and deleted_at is not null order by id desc limit 1)
) b (id, gone)
order by gone
limit 1`

const selectStated = `select stated from book_sources where book_id = $1`

const upsertStated = `
insert into book_sources (book_id, stated) values ($1, $2)
on conflict (book_id) do update set stated = excluded.stated, updated_at = now()`

// PutBySource implements books.Store. Of two concurrent imports of a new id one violates the unique index, and finds the other's
// book when it tries again.
func (s *Store) PutBySource(ctx context.Context, record books.SourceDraft) (books.SourceResult, error) {
	result, err := s.putBySource(ctx, record)
	if pg.IsUnique(err, "books_source_id") {
		result, err = s.putBySource(ctx, record)
	}
	if err != nil {
		return books.SourceResult{}, entryFault("put book by source", err)
	}
	return result, nil
}

func (s *Store) putBySource(ctx context.Context, record books.SourceDraft) (result books.SourceResult, err error) {
	var id int64
	var gone bool
	err = s.db().QueryRow(ctx, bySource, record.SourceID).Scan(&id, &gone)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return s.createFromSource(ctx, record)
	case err != nil:
		return result, err
	case gone:
		return result, books.Gone(id)
	}
	return s.mergeFromSource(ctx, id, record)
}

func (s *Store) createFromSource(ctx context.Context, record books.SourceDraft) (result books.SourceResult, err error) {
	result.Created = true
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if result.Book, err = insert(ctx, tx, record.Draft); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, upsertStated, result.ID, record.FirstStated())
		return err
	})
	return result, err
}

// mergeFromSource locks the book before it reads what the source has stated, so that concurrent imports merge one after the
// other.
func (s *Store) mergeFromSource(ctx context.Context, id int64, record books.SourceDraft) (result books.SourceResult, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		book, err := lock(ctx, tx, id, nil)
		if err != nil {
			return err
		}
		var before books.Stated
		if err := tx.QueryRow(ctx, selectStated, id).Scan(&before); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		entry, after, merged := record.Merge(book.Entry, before)
		if !after.Equal(before) {
			if _, err := tx.Exec(ctx, upsertStated, id, after); err != nil {
				return err
			}
		}
		result = merged
		result.Book, err = replace(ctx, tx, book, entry)
		return err
	})
	return result, err
}
