package txnpg

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/saga"
)

// Sagas is saga.Store over a database that has Migrations.
type Sagas struct{ pool *pgxpool.Pool }

var _ saga.Store = Sagas{}

// NewSagas makes a store.
func NewSagas(pool *pgxpool.Pool) Sagas { return Sagas{pool} }

// Now implements saga.Store.
func (s Sagas) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), pg.Fault("read the database's clock", err)
}

// Create implements saga.Store.
func (s Sagas) Create(ctx context.Context, n saga.New) (bool, error) {
	for range 2 {
		tag, err := s.pool.Exec(ctx, createSagaSQL, n.ID, n.Definition, n.Caller, n.Key, n.RequestHash, n.State, n.Steps, n.Data,
			n.Cause, n.Deadline, micros(n.Wake), n.Outcome.Status, n.Outcome.Body, n.CreatedAt, n.UpdatedAt, unlessZero(n.FinishedAt),
			saga.News{State: n.State, Steps: n.Steps, Cause: n.Cause})
		if err != nil {
			return false, pg.Fault("store a saga", err)
		}
		if tag.RowsAffected() == 1 {
			return true, nil
		}
		if tag, err = s.pool.Exec(ctx, freeKeySQL, n.Caller, n.Key); err != nil || tag.RowsAffected() == 0 {
			return false, pg.Fault("free an old key", err)
		}
	}
	return false, nil
}

// Find implements saga.Store.
func (s Sagas) Find(ctx context.Context, caller, key string) (*saga.Earlier, error) {
	var (
		r sagaRow
		e saga.Earlier
	)
	err := s.pool.QueryRow(ctx, findSagaSQL, caller, key).Scan(r.targets(&e.RequestHash, &e.Outcome.Status, &e.Outcome.Body)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	e.Saga = r.read()
	return &e, pg.Fault("find a saga", err)
}

// Get implements saga.Store.
func (s Sagas) Get(ctx context.Context, definition, id string) (saga.Saga, error) {
	var r sagaRow
	err := s.pool.QueryRow(ctx, oneSagaSQL, definition, id).Scan(r.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return saga.Saga{}, noSaga(definition)
	}
	return r.read(), pg.Fault("read a saga", err)
}

func noSaga(definition string) error {
	return fault.New(fault.NotFound, "there is no such "+definition)
}

// Claim implements saga.Store.
func (s Sagas) Claim(ctx context.Context, limit int, lease time.Duration) ([]saga.Saga, error) {
	rows, err := s.pool.Query(ctx, claimSagasSQL, limit, lease.Microseconds())
	if err != nil {
		return nil, pg.Fault("claim sagas", err)
	}
	claimed, err := pgx.CollectRows(rows, func(cr pgx.CollectableRow) (saga.Saga, error) {
		var r sagaRow
		err := cr.Scan(r.targets()...)
		return r.read(), err
	})
	return claimed, pg.Fault("claim sagas", err)
}

// Postpone implements saga.Store.
func (s Sagas) Postpone(ctx context.Context, sagas []saga.Saga, wake time.Duration) error {
	ids, versions := make([]string, len(sagas)), make([]int64, len(sagas))
	for i, one := range sagas {
		ids[i], versions[i] = one.ID, one.Version
	}
	_, err := s.pool.Exec(ctx, postponeSagasSQL, ids, versions, wake.Microseconds())
	return pg.Fault("postpone sagas", err)
}

// News implements saga.Store.
func (s Sagas) News(ctx context.Context, definition, id string, seq int64) (news []saga.Logged, more bool, err error) {
	rows, err := s.pool.Query(ctx, newsSQL, definition, id, seq)
	if err != nil {
		return nil, false, pg.Fault("read a saga's news", err)
	}
	var (
		found bool
		n     *int64
		at    *time.Time
		what  *saga.News
	)
	_, err = pgx.ForEachRow(rows, []any{&more, &n, &at, &what}, func() error {
		found = true
		if n != nil {
			news = append(news, saga.Logged{Seq: *n, At: at.UTC(), News: *what})
		}
		return nil
	})
	if err == nil && !found {
		err = noSaga(definition)
	}
	return news, more || len(news) == 100, pg.Fault("read a saga's news", err)
}

// Unfinished implements saga.Store.
func (s Sagas) Unfinished(ctx context.Context) (map[string]map[saga.State]int, error) {
	rows, err := s.pool.Query(ctx, unfinishedSagasSQL)
	if err != nil {
		return nil, pg.Fault("count sagas", err)
	}
	counts := map[string]map[saga.State]int{}
	var (
		definition string
		state      saga.State
		count      int
	)
	_, err = pgx.ForEachRow(rows, []any{&definition, &state, &count}, func() error {
		if counts[definition] == nil {
			counts[definition] = map[saga.State]int{}
		}
		counts[definition][state] = count
		return nil
	})
	return counts, pg.Fault("count sagas", err)
}

// Hold implements saga.Store.
func (s Sagas) Hold(ctx context.Context) (time.Time, error) {
	var before time.Time
	err := s.pool.QueryRow(ctx, "SELECT before FROM saga_hold").Scan(&before)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return before, pg.Fault("read the hold of sagas", err)
}

func micros(w saga.Wake) *int64 {
	if w == saga.Never {
		return nil
	}
	n := time.Duration(w).Microseconds()
	return &n
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sagaRow reads the columns of a saga.
type sagaRow struct {
	saga     saga.Saga
	finished *time.Time
}

// targets are where the columns go, followed by those of the caller.
func (r *sagaRow) targets(more ...any) []any {
	s := &r.saga
	return append([]any{
		&s.ID, &s.Definition, &s.Caller, &s.Key, &s.State, &s.Steps, &s.Data, &s.Cause, &s.Failures,
		&s.Deadline, &s.Version, &s.CreatedAt, &s.UpdatedAt, &r.finished,
	}, more...)
}

func (r *sagaRow) read() saga.Saga {
	s := r.saga
	s.Deadline, s.CreatedAt, s.UpdatedAt = s.Deadline.UTC(), s.CreatedAt.UTC(), s.UpdatedAt.UTC()
	if r.finished != nil {
		s.FinishedAt = r.finished.UTC()
	}
	return s
}

// sagaChanges are the columns of the changes of many sagas, one array each.
type sagaChanges struct {
	ids, states []string
	versions    []int64
	failures    []int32
	updated     []time.Time
	finished    []*time.Time
	wakes       []*int64
	steps       []stepsJSON
	causes      []*saga.Cause
	news        []saga.News
}

// stepsJSON is one element of a jsonb[]; a slice of slices would be sent as an
// array of two dimensions.
type stepsJSON struct{ steps []saga.Step }

// MarshalJSON implements json.Marshaler.
func (s stepsJSON) MarshalJSON() ([]byte, error) { return json.Marshal(s.steps) }

// Advance implements saga.Store.
func (s Sagas) Advance(ctx context.Context, changes []saga.Change) ([]bool, error) {
	var c sagaChanges
	for _, change := range changes {
		c.ids, c.states = append(c.ids, change.ID), append(c.states, string(change.State))
		c.versions = append(c.versions, change.Version)
		c.failures = append(c.failures, int32(change.Failures)) //nolint:gosec // a small number
		c.updated = append(c.updated, change.UpdatedAt)
		c.finished, c.wakes = append(c.finished, unlessZero(change.FinishedAt)), append(c.wakes, micros(change.Wake))
		c.steps, c.causes = append(c.steps, stepsJSON{change.Steps}), append(c.causes, change.Cause)
		c.news = append(c.news, change.News)
	}
	rows, err := s.pool.Query(ctx, advanceSagasSQL, c.ids, c.versions, c.states, c.steps, c.causes, c.failures,
		c.updated, c.finished, c.wakes, c.news)
	if err != nil {
		return nil, pg.Fault("store changes of sagas", err)
	}
	moved := map[string]bool{}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { moved[id] = true; return nil })
	applied := make([]bool, len(changes))
	for i, id := range c.ids {
		applied[i] = moved[id]
	}
	return applied, pg.Fault("store changes of sagas", err)
}

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

// claimSagasSQL gives each a new version, so that a change by its former driver does
// not apply any more.
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
