package bookspg

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// Branch is the books branch of two-phase commits: it moves the stock of all lines, or refuses and names every book that is
// the reason. It takes one round trip unless it is refused.
var Branch = participant.Change[books.Reservation]{
	Apply: func(ctx context.Context, tx pgx.Tx, gid string, r books.Reservation) error {
		return move(ctx, tx, ofBranch(gid), r)
	},
	Whole: func(batch *pgx.Batch, gid string, r books.Reservation) bool {
		r, err := r.Check()
		if err == nil {
			queue(batch, ofBranch(gid), r, allOrFail)
		}
		return err == nil
	},
}

func ofBranch(gid string) movementCause {
	return movementCause{reserve: "order", restock: "cancel", gid: &gid}
}

// The steps of sagas that move stock. A checkout takes copies, and releases them when it is undone; a return puts sold copies
// back, and cannot be undone.
var (
	ReserveStock = participant.Step[books.Reservation]{Do: applyStep, Undo: releaseStep}
	Restock      = participant.Step[books.Reservation]{Do: applyStep}
)

// applyStep moves stock for a step as Branch does for a branch. It has no result.
func applyStep(ctx context.Context, tx pgx.Tx, k participant.Key, r books.Reservation) (any, error) {
	return nil, move(ctx, tx, movementCause{reserve: "checkout", restock: "return", saga: &k.Saga, step: &k.Step}, r)
}

// movementCause is the cause of a change of stock in the ledger: a branch of a two-phase commit (gid) or a step of a saga.
// reserve and restock are the values of the column cause for the two actions.
type movementCause struct {
	reserve, restock string
	gid, saga, step  *string
}

// lockStock locks rows by book id, so that orders for the same books cannot deadlock. It is a statement of its own because the
// change must see prices as of after the wait. It makes PostgreSQL use one plan for the change: to plan it for the arrays of
// each order takes longer than the change itself.
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

// How a change ends: with the books that it moved, or with an error unless it moved all of them ($1).
const (
	movedBooks = ` select coalesce(array_agg(book_id), '{}') from moved`
	allOrFail  = ` select case when count(*) = cardinality($1) then 1 else ` + pg.Refuse + ` end from moved`
)

// move changes the stock of all lines in tx, or returns a refusal.
func move(ctx context.Context, tx pgx.Tx, c movementCause, r books.Reservation) error {
	r, err := r.Check()
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	queue(batch, c, r, movedBooks)
	moved, err := send(ctx, tx, batch)
	if err != nil {
		return pg.Fault(string(r.Action)+" stock", err)
	}
	if len(moved) == len(r.Lines) {
		return nil
	}
	return refusal(ctx, tx, slices.DeleteFunc(r.Lines, func(l books.Line) bool { return slices.Contains(moved, l.BookID) }))
}

// queue adds the lock and the change to batch. ending is movedBooks or allOrFail.
func queue(batch *pgx.Batch, c movementCause, r books.Reservation, ending string) {
	ids, quantities, prices := transpose(r.Lines)
	batch.Queue(lockStock, ids)
	if r.Action == books.Restock {
		batch.Queue(restock+ending, ids, quantities, c.restock, c.gid, c.saga, c.step)
	} else {
		batch.Queue(reserve+ending, ids, quantities, prices, c.reserve, c.gid, c.saga, c.step)
	}
}

// transpose returns the lines as arrays, for unnest.
func transpose(lines []books.Line) (ids, quantities, prices []int64) {
	for _, l := range lines {
		ids, quantities, prices = append(ids, l.BookID), append(quantities, l.Quantity), append(prices, l.UnitPriceCents)
	}
	return ids, quantities, prices
}

// send runs the lock and the change in one round trip, and returns the books that were moved.
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

const selectConflicts = `
select l.id, b.id is not null, b.deleted_at is not null, coalesce(b.price_cents, 0), coalesce(s.quantity, 0)
from unnest($1::bigint[]) l (id)
left join books b on b.id = l.id
left join stock s on s.book_id = l.id
order by l.id`

// conflicts are the lines that were not moved, by reason.
type conflicts struct {
	unknown, gone []int64
	repriced      []books.Line
	short         []books.Availability
}

// refusal names the reason why these lines were not moved, while their stock is still locked. Reasons for which no retry can
// succeed come first, then those for which one with a new quote may.
func refusal(ctx context.Context, tx pgx.Tx, lines []books.Line) error {
	found, err := findConflicts(ctx, tx, lines)
	switch {
	case err != nil:
		return pg.Fault("find the reason of a refusal", err)
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

func findConflicts(ctx context.Context, tx pgx.Tx, lines []books.Line) (found conflicts, err error) {
	ids, _, _ := transpose(lines)
	rows, err := tx.Query(ctx, selectConflicts, ids)
	if err != nil {
		return found, err
	}
	var current books.Line
	var exists, deleted bool
	i := 0
	_, err = pgx.ForEachRow(rows, []any{&current.BookID, &exists, &deleted, &current.UnitPriceCents, &current.Quantity}, func() error {
		switch {
		case !exists:
			found.unknown = append(found.unknown, current.BookID)
		case deleted:
			found.gone = append(found.gone, current.BookID)
		case current.UnitPriceCents != lines[i].UnitPriceCents:
			found.repriced = append(found.repriced, current)
		default:
			found.short = append(found.short, books.Availability{BookID: current.BookID, Available: current.Quantity})
		}
		i++
		return nil
	})
	return found, err
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

// releaseStep puts back what the ledger says that the step reserved, even if the books were changed or deleted since.
func releaseStep(ctx context.Context, tx pgx.Tx, k participant.Key, _ json.RawMessage) error {
	batch := &pgx.Batch{}
	batch.Queue(lockReserved, k.Saga, k.Step)
	batch.Queue(releaseStock, k.Saga, k.Step)
	_, err := send(ctx, tx, batch)
	return pg.Fault("release stock", err)
}
