package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

const selectObstacles = `
select l.id, b.id is not null, b.deleted_at is not null, coalesce(b.price_cents, 0), coalesce(s.quantity, 0)
from unnest($1::bigint[]) l (id)
left join books b on b.id = l.id
left join stock s on s.book_id = l.id
order by l.id`

// obstacles sorts the lines that did not move by what stood in their way.
type obstacles struct {
	unknown, gone []int64
	repriced      []books.Line
	short         []books.Availability
}

// whyNot names what kept these lines from moving, while their stock is still
// locked. What can never succeed comes first, then what may after a new quote.
func whyNot(ctx context.Context, tx pgx.Tx, lines []books.Line) error {
	found, err := look(ctx, tx, lines)
	switch {
	case err != nil:
		return pg.Fault("find out what is missing", err)
	case len(found.unknown) > 0:
		return books.Unknown(found.unknown, nil)
	case len(found.gone) > 0:
		return books.Gone(found.gone...)
	case len(found.repriced) > 0:
		return books.Repriced(found.repriced...)
	default:
		return books.Short(found.short...)
	}
}

func look(ctx context.Context, tx pgx.Tx, lines []books.Line) (found obstacles, err error) {
	ids, _, _ := transpose(lines)
	rows, err := tx.Query(ctx, selectObstacles, ids)
	if err != nil {
		return found, err
	}
	var now books.Line
	var exists, deleted bool
	i := 0
	_, err = pgx.ForEachRow(rows, []any{&now.BookID, &exists, &deleted, &now.UnitPriceCents, &now.Quantity}, func() error {
		switch {
		case !exists:
			found.unknown = append(found.unknown, now.BookID)
		case deleted:
			found.gone = append(found.gone, now.BookID)
		case now.UnitPriceCents != lines[i].UnitPriceCents:
			found.repriced = append(found.repriced, now)
		default:
			found.short = append(found.short, books.Availability{BookID: now.BookID, Available: now.Quantity})
		}
		i++
		return nil
	})
	return found, err
}
