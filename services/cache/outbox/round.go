package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/pg"
)

// Every is the pause between two rounds: what was not confirmed is repeated within a second of Redis being back.
const Every = 250 * time.Millisecond

const (
	// late is the age from which a round announces a change that its request has not announced.
	late = time.Second
	// most is how many rows a statement reads or deletes.
	most = 5000
	// statementTimeout bounds one statement: the leader may be gone.
	statementTimeout = 5 * time.Second
	// atOnce is how many books one announcement has at most.
	atOnce = 256
)

// Round announces what is not confirmed yet, and deletes the rows of what is, many in one commit. A failure that lasts
// is logged once.
func (r *Relay) Round(ctx context.Context) error {
	err := r.round(ctx)
	if err != nil && !r.failing && ctx.Err() == nil {
		r.log.WarnContext(ctx, "changes of books are not confirmed by the caches; trying again", "error", err)
	}
	if err == nil && r.failing {
		r.log.InfoContext(ctx, "all changes of books are confirmed again")
	}
	r.failing = err != nil
	return nil
}

func (r *Relay) round(ctx context.Context) error {
	if r.announce == nil {
		return r.drop(ctx)
	}
	failed := errors.Join(r.tryAll(ctx, r.take(&r.pending)), r.clear(ctx))
	for {
		left, more, err := r.left(ctx, late)
		if failed = errors.Join(failed, err); failed != nil {
			return failed
		}
		if failed = r.tryAll(ctx, left); failed == nil {
			r.relayed.Add(float64(len(left)))
		}
		if failed = errors.Join(failed, r.clear(ctx)); failed != nil || !more {
			return failed
		}
	}
}

// tryAll announces any number of floors. After a failure the rest is not tried.
func (r *Relay) tryAll(ctx context.Context, floors []coherence.Floor) (failed error) {
	for some := range slices.Chunk(floors, atOnce) {
		if failed != nil {
			r.keep(&r.pending, some)
			continue
		}
		failed = r.try(ctx, some...)
	}
	return failed
}

// CatchUp announces everything in the outbox.
func (r *Relay) CatchUp(ctx context.Context) error {
	if r.announce == nil {
		return nil
	}
	left, _, err := r.left(ctx, 0)
	if err == nil {
		_ = r.tryAll(ctx, left) // what is not confirmed is left to the rounds
	}
	return err
}

const selectLeft = `
select book_id, max(version), max(stock_version), count(*), extract(epoch from clock_timestamp() - min(created_at))::float8
from (select * from cache_outbox where created_at <= now() - $1::interval order by id limit $2) o
group by book_id`

// left returns the floors of rows older than age; more tells that there may be further rows.
func (r *Relay) left(ctx context.Context, age time.Duration) (floors []coherence.Floor, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	rows, err := r.pool.Query(ctx, selectLeft, age, most)
	if err != nil {
		return nil, false, pg.Fault("read the outbox", err)
	}
	var f coherence.Floor
	var count, all int
	var since, oldest float64
	_, err = pgx.ForEachRow(rows, []any{&f.BookID, &f.Version, &f.StockVersion, &count, &since}, func() error {
		floors = append(floors, f)
		all, oldest = all+count, max(oldest, since)
		return nil
	})
	if err == nil && age > 0 {
		r.oldest.Set(oldest)
	}
	return floors, all == most, pg.Fault("read the outbox", err)
}

// Rows that another relay is deleting are skipped. Only the oldest rows are read, so that a batch does not read the whole
// backlog of a day without caches; newer rows are announced again later.
const deleteConfirmed = `
delete from cache_outbox where id = any (array(
	select o.id from cache_outbox o
	join unnest($1::bigint[], $2::bigint[], $3::bigint[]) f (book_id, version, stock_version)
		on o.book_id = f.book_id and o.version <= f.version and o.stock_version <= f.stock_version
	where o.id = any (array(select id from cache_outbox order by id limit $5))
	limit $4 for update of o skip locked))`

// clear deletes the rows of confirmed changes.
func (r *Relay) clear(ctx context.Context) error {
	confirmed := r.take(&r.confirmed)
	if len(confirmed) == 0 {
		return nil
	}
	var ids, versions, stock []int64
	for _, f := range confirmed {
		ids, versions, stock = append(ids, f.BookID), append(versions, f.Version), append(stock, f.StockVersion)
	}
	err := r.delete(ctx, deleteConfirmed, ids, versions, stock, most, 4*most)
	if err != nil {
		r.keep(&r.confirmed, confirmed)
	}
	return err
}

const deleteAny = `
delete from cache_outbox where id = any (array(select id from cache_outbox order by id limit $1 for update skip locked))`

// drop deletes all rows: there are no caches.
func (r *Relay) drop(ctx context.Context) error { return r.delete(ctx, deleteAny, most) }

// delete repeats a statement that deletes up to most rows until it finds fewer.
func (r *Relay) delete(ctx context.Context, sql string, args ...any) error {
	for {
		n, err := r.deleteOnce(ctx, sql, args...)
		if err != nil || n < most {
			return pg.Fault("clear the outbox", err)
		}
	}
}

func (r *Relay) deleteOnce(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	tag, err := r.pool.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}
