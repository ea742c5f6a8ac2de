package bookspg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

// maxStock keeps sums of stock far below the maximum of bigint.
const maxStock = 1_000_000_000

const selectStock = `
select s.quantity, s.version, b.deleted_at is not null
from stock s join books b on b.id = s.book_id
where s.book_id = $1`

// Available implements books.Store.
func (s *Store) Available(ctx context.Context, id int64) (books.Availability, error) {
	return available(ctx, s.db(), selectStock, id)
}

func available(ctx context.Context, db runner, sql string, id int64) (books.Availability, error) {
	left := books.Availability{BookID: id}
	var gone bool
	err := db.QueryRow(ctx, sql, id).Scan(&left.Available, &left.StockVersion, &gone)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return books.Availability{}, books.NotFound(id)
	case err != nil:
		return books.Availability{}, pg.Fault("read stock", err)
	case gone:
		return books.Availability{}, books.Gone(id)
	}
	return left, nil
}

const adjustStock = `
with s as (
	update stock set quantity = quantity + $2, version = version + 1
	where book_id = $1
	returning quantity, version
), ledger as (
	insert into stock_movements (book_id, delta, cause) values ($1, $2, 'adjust')
)
select quantity, version from s`

// Adjust implements books.Store.
func (s *Store) Adjust(ctx context.Context, id, delta int64) (books.Availability, error) {
	var left books.Availability
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		if left, err = available(ctx, tx, selectStock+` for no key update of s`, id); err != nil {
			return err
		}
		switch after := left.Available + delta; {
		case after < 0:
			return books.Short(left)
		case after > maxStock:
			return books.TooMany("delta")
		}
		return pg.Fault("adjust stock", tx.QueryRow(ctx, adjustStock, id, delta).Scan(&left.Available, &left.StockVersion))
	})
	return left, err
}

const selectQuotes = `
select q.at, q.id, coalesce(b.title, ''), coalesce(b.price_cents, 0), coalesce(b.currency, ''), b.id is not null, b.deleted_at is not null
from unnest($1::bigint[]) with ordinality q (id, at)
left join books b on b.id = q.id
order by q.at`

// Quotes implements books.Store.
func (s *Store) Quotes(ctx context.Context, ids []int64) ([]books.Quote, error) {
	rows, err := s.db().Query(ctx, selectQuotes, ids)
	if err != nil {
		return nil, pg.Fault("read prices", err)
	}
	var quotes []books.Quote
	var unknown, gone []int64
	var positions []int
	var at int
	var quote books.Quote
	var exists, deleted bool
	into := []any{&at, &quote.BookID, &quote.Title, &quote.UnitPriceCents, &quote.Currency, &exists, &deleted}
	_, err = pgx.ForEachRow(rows, into, func() error {
		switch {
		case !exists:
			unknown, positions = append(unknown, quote.BookID), append(positions, at-1)
		case deleted:
			gone = append(gone, quote.BookID)
		}
		quotes = append(quotes, quote)
		return nil
	})
	switch {
	case err != nil:
		return nil, pg.Fault("read prices", err)
	case len(unknown) > 0:
		return nil, books.Unknown(unknown, positions)
	case len(gone) > 0:
		return nil, books.Gone(gone...)
	}
	return quotes, nil
}
