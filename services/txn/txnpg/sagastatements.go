package txnpg

const createSagaSQL = `
WITH created AS (
    INSERT INTO sagas (id, definition, caller, idempotency_key, request_hash, state, steps, data, cause, deadline,
                       wake_at, answer_status, answer_body, created_at, updated_at, finished_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp() + $11 * interval '1 microsecond', $12, $13, $14, $15, $16)
    ON CONFLICT (caller, idempotency_key) DO NOTHING
    RETURNING id, version
)
INSERT INTO saga_events (saga_id, seq, news) SELECT id, version, $17 FROM created`

// freeKeySQL ends the binding of a key that is older than 24 hours.
const freeKeySQL = `
UPDATE sagas SET idempotency_key = NULL
WHERE caller = $1 AND idempotency_key = $2 AND created_at < clock_timestamp() - interval '24 hours'`

const sagaColumns = `id::text, definition, caller, coalesce(idempotency_key, ''), state, steps, data, cause, failures,
       deadline, version, created_at, updated_at, finished_at`

const findSagaSQL = `
SELECT ` + sagaColumns + `, request_hash, answer_status, answer_body
FROM sagas
WHERE caller = $1 AND idempotency_key = $2 AND created_at >= clock_timestamp() - interval '24 hours'`

const oneSagaSQL = `SELECT ` + sagaColumns + ` FROM sagas WHERE definition = $1 AND id = $2`

// claimSagasSQL takes a new version of each, so that an answer that someone
// else still waits for comes to nothing.
const claimSagasSQL = `
UPDATE sagas s
SET wake_at = clock_timestamp() + $2 * interval '1 microsecond', version = version + 1
FROM (SELECT id AS due FROM sagas
      WHERE wake_at < now()
      ORDER BY wake_at LIMIT $1
      FOR UPDATE SKIP LOCKED) AS d
WHERE s.id = d.due
RETURNING ` + sagaColumns

const postponeSagasSQL = `
UPDATE sagas s
SET wake_at = clock_timestamp() + $3 * interval '1 microsecond'
FROM unnest($1::uuid[], $2::bigint[]) AS p (id, version)
WHERE s.id = p.id AND s.version = p.version`

const advanceSagasSQL = `
WITH moved AS (
    UPDATE sagas s
    SET state = c.state, steps = c.steps, cause = c.cause, failures = c.failures, version = s.version + 1,
        updated_at = c.updated_at, finished_at = c.finished_at,
        wake_at = clock_timestamp() + c.wake * interval '1 microsecond'
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::jsonb[], $6::integer[], $7::timestamptz[],
                $8::timestamptz[], $9::bigint[], $10::jsonb[])
         AS c (id, version, state, steps, cause, failures, updated_at, finished_at, wake, news)
    WHERE s.id = c.id AND s.version = c.version
    RETURNING s.id, s.version, c.news
), logged AS (
    INSERT INTO saga_events (saga_id, seq, news) SELECT id, version, news FROM moved
)
SELECT id::text FROM moved`

// newsSQL reads the state in the same snapshot as the events.
const newsSQL = `
SELECT s.finished_at IS NULL, e.seq, e.at, e.news
FROM sagas s LEFT JOIN saga_events e ON e.saga_id = s.id AND e.seq > $3
WHERE s.definition = $1 AND s.id = $2
ORDER BY e.seq
LIMIT 100`

const unfinishedSagasSQL = `SELECT definition, state, count(*) FROM sagas WHERE wake_at IS NOT NULL GROUP BY definition, state`
