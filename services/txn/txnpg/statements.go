package txnpg

// The statements. Every time in them is the database's own: instances whose
// clocks differ agree on leases and deadlines all the same.

const claimSQL = `
INSERT INTO transactions (gid, kind, caller, idempotency_key, attempt, request_hash, branches, payload, owner, lease_until, deadline)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::jsonb, '{}'), $9,
        clock_timestamp() + $10 * interval '1 microsecond',
        clock_timestamp() + $11 * interval '1 microsecond')
ON CONFLICT DO NOTHING
RETURNING deadline, created_at`

// claimNextSQL claims an attempt after the first. It updates the predecessor ($12), which pruning must not delete
// meanwhile: the gap would let the key begin with attempt 1 again. It skips a recent predecessor, which is not pruned:
// waiting for its row could deadlock with the batch that closes it. It checks once more that the predecessor is decided:
// the abort that was seen may have been lost in a failover.
const claimNextSQL = `
WITH previous AS (
    UPDATE transactions SET lease_until = greatest(lease_until, clock_timestamp())
    WHERE gid = $12 AND created_at < now() - interval '24 hours' AND state NOT IN ('preparing', 'committing')
    RETURNING gid
), young AS (
    SELECT gid FROM transactions
    WHERE gid = $12 AND created_at >= now() - interval '24 hours' AND state NOT IN ('preparing', 'committing')
)
INSERT INTO transactions (gid, kind, caller, idempotency_key, attempt, request_hash, branches, payload, owner, lease_until, deadline)
SELECT $1, $2, $3, $4, $5, $6, $7, coalesce($8::jsonb, '{}'), $9,
       clock_timestamp() + $10 * interval '1 microsecond',
       clock_timestamp() + $11 * interval '1 microsecond'
FROM (TABLE previous UNION ALL TABLE young) AS one
ON CONFLICT DO NOTHING
RETURNING deadline, created_at`

// committing is the decision, which the state of an ended row no longer shows: a
// commit is decided with a success, an abort with a refusal or nothing.
const committing = `coalesce(outcome_status < 300, false)`

const columns = `gid, kind, state, ` + committing + `, caller, idempotency_key, attempt, branches, payload, owner, deadline,
       created_at, decided_at, finished_at, notes`

const latestSQL = `
SELECT ` + columns + `,
       request_hash, outcome_status, outcome_body,
       lease_until < clock_timestamp(),
       created_at < clock_timestamp() - interval '24 hours'
FROM transactions
WHERE caller = $1 AND idempotency_key = $2
ORDER BY attempt DESC
LIMIT 1`

// gateSQL precedes decisions to commit, in their transaction. A cut takes the same
// lock alone: it waits for the decisions that have it, and later ones wait here until
// its row is visible (migrations/00005_cut.sql).
const gateSQL = `SELECT pg_advisory_xact_lock_shared(hashtext('cut'))`

// commitSQL is the decision to commit: compare-and-set, only in time, and not
// while a cut holds decisions back. It tells whether one does, and whether it
// has changed the row.
const commitSQL = `
WITH gate AS MATERIALIZED (
    SELECT held_until >= clock_timestamp() AS held FROM cut
), decided AS (
    UPDATE transactions
    SET state = 'committing', outcome_status = $2, outcome_body = $3, decided_at = clock_timestamp()
    WHERE gid = $1 AND state = 'preparing' AND deadline > clock_timestamp()
      AND NOT (SELECT held FROM gate)
    RETURNING gid
)
SELECT held, EXISTS (TABLE decided) FROM gate`

// abortSQL is the decision to abort. With $4 it ends the attempt too: no branch has
// been called.
const abortSQL = `
UPDATE transactions
SET state = 'aborted', outcome_status = $2, outcome_body = $3, decided_at = clock_timestamp(),
    finished_at = CASE WHEN $4 THEN clock_timestamp() END
WHERE gid = $1 AND state = 'preparing'`

// standingSQL returns the decision that stands, after a compare-and-set that changed
// nothing: the attempt is decided, or it is too late to commit and is aborted here.
// It always writes the row: a decision may be visible before the standbys have it,
// and only the acknowledgement of a later write proves that they do.
const standingSQL = `
UPDATE transactions
SET state = CASE state WHEN 'preparing' THEN 'aborted' ELSE state END,
    decided_at = coalesce(decided_at, clock_timestamp()),
    owner = $2
WHERE gid = $1
RETURNING state, outcome_status IS NOT NULL`

// presumeSQL presumes abort (Store.Presume). It always writes, like standingSQL. A
// gid that is not on record gets its row here, so that no request can claim it any
// more; the row's deadline becomes that of the participant's tombstone. Both cases
// compare with one time, now().
const presumeSQL = `
INSERT INTO transactions AS t (gid, kind, state, caller, idempotency_key, attempt, request_hash, branches, payload, owner,
        lease_until, deadline, created_at, decided_at, finished_at)
VALUES ($1, 'unknown', 'aborted', '', $1, 1, '', ARRAY[$2], '{}', $3,
        now(), now() + interval '1 hour', now(), now(), now())
ON CONFLICT (gid) DO UPDATE
SET state = CASE WHEN t.state = 'preparing' AND ` + presumed + ` THEN 'aborted' ELSE t.state END,
    decided_at = CASE WHEN t.state = 'preparing' AND ` + presumed + ` THEN now() ELSE t.decided_at END
RETURNING state, ` + committing + `, branches, deadline`

const presumed = `(t.lease_until < now() OR t.deadline <= now())`

const finishSQL = `
UPDATE transactions t
SET state = f.state, finished_at = clock_timestamp(), notes = coalesce(f.notes, t.notes)
FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS f (gid, state, notes)
WHERE t.gid = f.gid AND t.finished_at IS NULL
  AND (f.state, t.state) IN (('committed', 'committing'), ('aborted', 'aborted'),
                             ('heuristic', 'committing'), ('heuristic', 'aborted'))`

const annotateSQL = `
UPDATE transactions SET notes = coalesce(notes, '{}') || $2 WHERE gid = $1 AND finished_at IS NULL`

// renewSQL skips rows that another statement has locked: they are being decided or
// finished at this moment, and waiting for them could deadlock.
const renewSQL = `
UPDATE transactions t
SET lease_until = clock_timestamp() + $3 * interval '1 microsecond'
FROM (SELECT gid FROM transactions
      WHERE gid = ANY ($1) AND owner = $2 AND finished_at IS NULL
      FOR UPDATE SKIP LOCKED) AS mine
WHERE t.gid = mine.gid`

const releaseSQL = `
UPDATE transactions t
SET lease_until = clock_timestamp()
FROM (SELECT gid FROM transactions
      WHERE gid = ANY ($1) AND owner = $2 AND finished_at IS NULL
      FOR UPDATE SKIP LOCKED) AS mine
WHERE t.gid = mine.gid`

// takeOverSQL takes lapsed attempts over and presumes abort for those undecided; $2,
// unless it is empty, names the only attempt.
const takeOverSQL = `
UPDATE transactions t
SET owner = $1, lease_until = clock_timestamp() + $4 * interval '1 microsecond',
    state = CASE t.state WHEN 'preparing' THEN 'aborted' ELSE t.state END,
    decided_at = coalesce(t.decided_at, clock_timestamp())
FROM (SELECT gid AS lapsed FROM transactions
      WHERE finished_at IS NULL AND lease_until < now() AND ($2 = '' OR gid = $2)
      ORDER BY lease_until LIMIT $3
      FOR UPDATE SKIP LOCKED) AS l
WHERE t.gid = l.lapsed
RETURNING ` + columns

// unfinishedSQL returns ages in seconds.
const unfinishedSQL = `
SELECT state, count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8
FROM transactions WHERE finished_at IS NULL GROUP BY state
UNION ALL
SELECT 'heuristic', count(*), 0
FROM transactions WHERE state = 'heuristic' AND finished_at > now() - interval '24 hours'`

const oneSQL = `SELECT ` + columns + ` FROM transactions WHERE gid = $1`

const listSQL = `
SELECT ` + columns + `
FROM transactions
WHERE ($1 = '' OR state = $1)
  AND ($2::timestamptz IS NULL OR (created_at, gid) < ($2, $3))
ORDER BY created_at DESC, gid DESC
LIMIT $4`
