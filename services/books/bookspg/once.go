package bookspg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// answerMargin is the time before a request's deadline in which no further try is made: one may take lock_timeout, and the rest
// is for the answer that the first request is still running.
const answerMargin = 750 * time.Millisecond

// claimKey takes a key that is new or expired. While another request has it, the statement waits until that request ends.
const claimKey = `
insert into idempotency_keys as k (caller, key, request_hash, expires_at)
values ($1, $2, $3, now() + $4)
on conflict (caller, key) do update
set request_hash = excluded.request_hash, status = null, headers = null, body = null,
	created_at = now(), expires_at = excluded.expires_at
where k.expires_at <= now()
returning true`

const selectOutcome = `
select request_hash = $3, status, headers, body
from idempotency_keys
where caller = $1 and key = $2`

const storeOutcome = `
update idempotency_keys set status = $3, headers = $4, body = $5
where caller = $1 and key = $2`

// Once implements books.Store. It waits for the first request by tries, each of which the session's lock_timeout ends, until
// shortly before ctx's deadline.
func (s *Store) Once(ctx context.Context, key books.Key, work books.Work) (books.Outcome, bool, error) {
	held := false
	for {
		outcome, replayed, err := s.tryOnce(ctx, key, work)
		timedOut := ctx.Err() != nil && held // in a further try
		if !errors.Is(err, errHeld) && !timedOut {
			return outcome, replayed, err
		}
		held = true
		if deadline, ok := ctx.Deadline(); timedOut || (ok && time.Until(deadline) < answerMargin) {
			return books.Outcome{}, false, fault.New(fault.InProgress, "a request with this Idempotency-Key is still running")
		}
	}
}

// lockNotAvailable is PostgreSQL's code of a lock_timeout.
const lockNotAvailable = "55P03"

// errHeld: another request has had the key for lock_timeout.
var errHeld = errors.New("a running request holds the key")

func (s *Store) tryOnce(ctx context.Context, key books.Key, work books.Work) (outcome books.Outcome, replayed bool, err error) {
	err = s.slots.InTx(ctx, func(tx pgx.Tx) error {
		claimed, err := claim(ctx, tx, key)
		switch {
		case err != nil:
			return err
		case claimed:
			outcome, err = bind(ctx, tx, key, work)
		default:
			outcome, err = replay(ctx, tx, key)
		}
		replayed = !claimed
		return err
	})
	return outcome, replayed, err
}

// claim reports whether the transaction now has the key. If not, the key is bound to an outcome.
func claim(ctx context.Context, tx pgx.Tx, key books.Key) (claimed bool, err error) {
	err = tx.QueryRow(ctx, claimKey, key.Caller, key.Key, key.RequestHash, books.KeyLife).Scan(&claimed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case pg.Code(err) == lockNotAvailable:
		return false, errHeld
	default:
		return claimed, pg.Fault("claim idempotency key", err)
	}
}

// replay returns the outcome that the key is bound to.
func replay(ctx context.Context, tx pgx.Tx, key books.Key) (outcome books.Outcome, err error) {
	var same bool
	err = tx.QueryRow(ctx, selectOutcome, key.Caller, key.Key, key.RequestHash).
		Scan(&same, &outcome.Status, &outcome.Header, &outcome.Body)
	switch {
	case err != nil:
		return books.Outcome{}, pg.Fault("read outcome of idempotency key", err)
	case !same:
		return books.Outcome{}, fault.New(fault.IdempotencyKeyReused, "this Idempotency-Key was used for another request")
	}
	return outcome, nil
}

// bind runs the work and stores its outcome in the same transaction. The savepoint lets a refusal roll back the work and still be
// stored.
func bind(ctx context.Context, tx pgx.Tx, key books.Key, work books.Work) (books.Outcome, error) {
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return books.Outcome{}, pg.Fault("begin work under a key", err)
	}
	outcome, refused, err := work(ctx, &Store{tx: savepoint})
	if err != nil {
		return books.Outcome{}, err // the whole transaction is rolled back
	}
	end := savepoint.Commit
	if refused {
		end = savepoint.Rollback
	}
	if err := end(ctx); err != nil {
		return books.Outcome{}, pg.Fault("end work under a key", err)
	}
	_, err = tx.Exec(ctx, storeOutcome, key.Caller, key.Key, outcome.Status, outcome.Header, outcome.Body)
	return outcome, pg.Fault("store outcome of idempotency key", err)
}
