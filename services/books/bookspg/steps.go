package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/step"
)

// ApplyStep does in tx what a step of a saga asks for, as Apply does for a
// branch: a checkout reserves, a return restocks.
func ApplyStep(ctx context.Context, tx pgx.Tx, k step.Key, r books.Reservation) error {
	return move(ctx, tx.Conn(), movementCause{reserve: "checkout", restock: "return", saga: &k.Saga, step: &k.Step}, r)
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

// ReleaseStep gives back what the step of this key reserved, by what the ledger
// says of it, and whatever has become of the books.
func ReleaseStep(ctx context.Context, tx pgx.Tx, k step.Key) error {
	batch := &pgx.Batch{}
	batch.Queue(lockReserved, k.Saga, k.Step)
	batch.Queue(releaseStock, k.Saga, k.Step)
	_, err := send(ctx, tx.Conn(), batch)
	return pg.Fault("release stock", err)
}
