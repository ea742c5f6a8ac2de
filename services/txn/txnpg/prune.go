package txnpg

import (
	"time"

	"bookstore/services/platform/clean"
)

// Cleaners delete attempts that ended longer than attempts ago, and sagas with
// their events that ended longer than sagas ago. What goes first is a rule of
// the protocol:
//
//		ended ──── 24 h ────── 30 days ────────────── 35 days ───►
//		      key bound │ row and marker │ row alone │ nothing
//
//	  - The marker of a committed branch goes before the row. While the row is
//	    there, its key, used again, finds it and begins the next attempt under a
//	    new gid. Were the row gone first, the key would begin attempt 1 anew, and
//	    the branches would answer from their old markers. (They compare the
//	    deadlines too: a participant that was down for all of those five days
//	    refuses instead.)
//	  - No backup older than 30 days may be restored. A restored participant
//	    queries what it had prepared then, and without its row a commit would be
//	    presumed aborted; a restored coordinator repeats decisions, and without
//	    their markers branches would seem lost.
//	  - Of one key the last attempt goes first, so that none is ever below a gap:
//	    a claim of attempt 1 succeeds only where there is no other.
//	  - Heuristic outcomes stay, and gids that only a participant knew: operators
//	    have to resolve both.
func Cleaners(attempts, sagas time.Duration) []clean.Job {
	return []clean.Job{
		{Name: "transactions", Keep: attempts, Delete: pruneSQL, Oldest: oldestSQL},
		{Name: "sagas", Keep: sagas, Delete: pruneSagasSQL, Oldest: oldestSagaSQL},
		clean.Tombstones(),
	}
}

// pruneSQL begins with the oldest rows. It must not delete an attempt that has a
// later one. A later one may be claimed while it runs, where NOT EXISTS does not see
// it: but the claim extends the earlier one's lease, which is compared again once the
// row is locked.
const pruneSQL = `
DELETE FROM transactions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM transactions ended
    WHERE created_at < now() - $1::interval AND finished_at < now() - $1::interval AND lease_until < now() - $1::interval
      AND state <> 'heuristic' AND kind <> 'unknown'
      AND NOT EXISTS (SELECT FROM transactions later
                      WHERE later.caller = ended.caller AND later.idempotency_key = ended.idempotency_key
                        AND later.attempt > ended.attempt)
    ORDER BY created_at LIMIT $2
    FOR UPDATE SKIP LOCKED))`

const oldestSQL = `
SELECT greatest(created_at, finished_at, lease_until) FROM transactions
WHERE state <> 'heuristic' AND kind <> 'unknown' AND finished_at IS NOT NULL
ORDER BY created_at LIMIT 1`

// pruneSagasSQL deletes sagas with their events, five or more for each. Arrays,
// not joins: for a large batch a join would read the whole of saga_events.
const pruneSagasSQL = `
WITH old AS MATERIALIZED (
    SELECT ctid AS place, id FROM sagas WHERE finished_at < now() - $1::interval
    ORDER BY finished_at LIMIT $2
    FOR UPDATE SKIP LOCKED
), events AS (
    DELETE FROM saga_events WHERE saga_id = ANY (ARRAY(SELECT id FROM old))
)
DELETE FROM sagas WHERE ctid = ANY (ARRAY(SELECT place FROM old))`

const oldestSagaSQL = `SELECT finished_at FROM sagas WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT 1`
