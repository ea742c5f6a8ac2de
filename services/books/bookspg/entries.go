package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
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

// lockBook holds the entry against other edits, not the stock against orders.
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

// lock reads a book for an edit of the version that the editor has seen.
func lock(ctx context.Context, tx pgx.Tx, id int64, ifVersion *int64) (books.Book, error) {
	book, err := find(ctx, tx, lockBook, id)
	if err == nil && ifVersion != nil && *ifVersion != book.Version {
		err = books.VersionDiffers(book.Version)
	}
	return book, err
}

// replace writes the entry of a locked book, if it says anything new.
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
