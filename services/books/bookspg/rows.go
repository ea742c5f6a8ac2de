package bookspg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// columns are a book's, in scan's order; b is the book and s its stock.
const columns = `b.id, coalesce(b.source_id, ''), coalesce(b.isbn, ''), b.title, b.authors,
	b.published_year, coalesce(b.language, ''), b.price_cents, b.currency,
	s.quantity, b.version, s.version, b.created_at, b.updated_at`

// scan reads columns and what follows them.
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

// find reads one book by a statement that begins as selectBook does.
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

// entryFault maps what writing an entry can fail of.
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
