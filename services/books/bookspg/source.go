package bookspg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

// bySource finds the book of a source's id, a deleted one only when there is no
// other: POST may have given the id to a new book since.
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

// PutBySource implements books.Store. Two imports of one new id at once meet
// at the unique index: the later one finds the book on its second look.
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

// mergeFromSource holds the book's row from before it reads what the source has
// stated until it has written both.
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
