package bookspg

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

// movementCause is why stock changes, as the ledger records it: a branch of a two-phase commit (gid) or a step of a saga.
// reserve and restock are the values of the column cause for the two directions.
type movementCause struct {
	reserve, restock string
	gid, saga, step  *string
}

// lockStock locks in id order, the same for all, so that orders of the same
// books cannot deadlock. It is a statement of its
// own because the next one must see prices as of after the wait. That one gets
// a plan made once: left to itself, PostgreSQL plans it anew for the arrays of
// each order, which takes longer than to make the change.
const lockStock = `select set_config('plan_cache_mode', 'force_generic_plan', true) from stock where book_id = any($1) order by book_id for no key update`

const reserve = `
with moved as (
	update stock s set quantity = s.quantity - l.quantity, version = s.version + 1
	from unnest($1::bigint[], $2::bigint[], $3::bigint[]) l (book_id, quantity, price), books b
	where s.book_id = l.book_id and b.id = l.book_id
		and b.deleted_at is null and b.price_cents = l.price and s.quantity >= l.quantity
	returning s.book_id, l.quantity
), ledger as (
	insert into stock_movements (book_id, delta, cause, gid, saga, step)
	select book_id, -quantity, $4, $5, $6, $7 from moved
)`

const restock = `
with moved as (
	update stock s set quantity = s.quantity + l.quantity, version = s.version + 1
	from unnest($1::bigint[], $2::bigint[]) l (book_id, quantity)
	where s.book_id = l.book_id
	returning s.book_id, l.quantity
), ledger as (
	insert into stock_movements (book_id, delta, cause, gid, saga, step)
	select book_id, quantity, $3, $4, $5, $6 from moved
)`

// What a move ends with: the books that it moved, or a failure unless it moved
// all of them ($1).
const (
	whichMoved = ` select coalesce(array_agg(book_id), '{}') from moved`
	allOrFail  = ` select case when count(*) = cardinality($1) then 1 else ` + pg.Refuse + ` end from moved`
)

// move changes the stock of all lines in tx, or refuses.
func move(ctx context.Context, tx pgx.Tx, c movementCause, r books.Reservation) error {
	r, err := r.Check()
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	queue(batch, c, r, whichMoved)
	moved, err := send(ctx, tx, batch)
	if err != nil {
		return pg.Fault(string(r.Action)+" stock", err)
	}
	if len(moved) == len(r.Lines) {
		return nil
	}
	return whyNot(ctx, tx, slices.DeleteFunc(r.Lines, func(l books.Line) bool { return slices.Contains(moved, l.BookID) }))
}

// queue adds the lock and the change, which ends as ending says.
func queue(batch *pgx.Batch, c movementCause, r books.Reservation, ending string) {
	ids, quantities, prices := transpose(r.Lines)
	batch.Queue(lockStock, ids)
	if r.Action == books.Restock {
		batch.Queue(restock+ending, ids, quantities, c.restock, c.gid, c.saga, c.step)
	} else {
		batch.Queue(reserve+ending, ids, quantities, prices, c.reserve, c.gid, c.saga, c.step)
	}
}

func transpose(lines []books.Line) (ids, quantities, prices []int64) {
	for _, l := range lines {
		ids, quantities, prices = append(ids, l.BookID), append(quantities, l.Quantity), append(prices, l.UnitPriceCents)
	}
	return ids, quantities, prices
}

// send runs the lock and the change in one round trip and returns the books
// that moved.
func send(ctx context.Context, tx pgx.Tx, batch *pgx.Batch) (moved []int64, err error) {
	results := tx.SendBatch(ctx, batch)
	if _, err = results.Exec(); err == nil {
		err = results.QueryRow().Scan(&moved)
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	return moved, err
}
