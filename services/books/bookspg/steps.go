package bookspg

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// The steps of sagas that move stock: a checkout takes copies, which it may give
// back; a return gives back what had been sold, for good.
var (
	ReserveStock = participant.Step[books.Reservation]{Do: applyStep, Undo: releaseStep}
	Restock      = participant.Step[books.Reservation]{Do: applyStep}
)

// applyStep does what Branch does for a branch. It has no result.
func applyStep(ctx context.Context, tx pgx.Tx, k participant.Key, r books.Reservation) (any, error) {
	return nil, move(ctx, tx, movementCause{reserve: "checkout", restock: "return", saga: &k.Saga, step: &k.Step}, r)
}

const lockReserved = `
select from stock
where book_id in (select book_id from stock_movements where saga = $1 and step = $2 and cause = 'checkout')
order by book_id for no key update`

const releaseStock = `
with moved as (
	update stock s set quantity = s.quantity - m.delta, version = s.version + 1
	from stock_movements m
	where m.saga = $1 and m.step = $2 and m.cause = 'checkout' and s.book_id = m.book_id
	returning s.book_id, -m.delta as quantity
), ledger as (
	insert into stock_movements (book_id, delta, cause, saga, step)
	select book_id, quantity, 'release', $1, $2 from moved
)
select coalesce(array_agg(book_id), '{}') from moved`

// releaseStep gives back what the step of this key reserved, by what the ledger
// says of it, and whatever has become of the books.
func releaseStep(ctx context.Context, tx pgx.Tx, k participant.Key, _ json.RawMessage) error {
	batch := &pgx.Batch{}
	batch.Queue(lockReserved, k.Saga, k.Step)
	batch.Queue(releaseStock, k.Saga, k.Step)
	_, err := send(ctx, tx, batch)
	return pg.Fault("release stock", err)
}
