package txnsim

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
)

// sagaMemory keeps sagas as txnpg.Sagas does. Rows are replaced, never changed.
type sagaMemory struct {
	clock func() time.Time // the database's

	mu   sync.Mutex
	rows map[string]sagaRow // by id
}

type sagaRow struct {
	saga.Earlier

	wake time.Time // zero: never
}

func newSagaMemory(clock func() time.Time) *sagaMemory {
	return &sagaMemory{clock: clock, rows: map[string]sagaRow{}}
}

// save remembers all rows; what it returns brings them back.
func (m *sagaMemory) save() (restore func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	saved := maps.Clone(m.rows)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.rows = maps.Clone(saved)
	}
}

func (m *sagaMemory) now() time.Time { return m.clock().UTC().Truncate(time.Microsecond) }

// at is when a saga wakes; the caller holds mu.
func (m *sagaMemory) at(w saga.Wake) time.Time {
	if w == saga.Never {
		return time.Time{}
	}
	return m.now().Add(time.Duration(w))
}

func (m *sagaMemory) create(n saga.New) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(n.Caller, n.Key) != nil {
		return false
	}
	m.rows[n.ID] = sagaRow{saga.Earlier{Saga: n.Saga, RequestHash: n.RequestHash, Outcome: n.Outcome}, m.at(n.Wake)}
	return true
}

// find returns the saga under a caller's key, nil if there is none; the caller holds mu.
func (m *sagaMemory) find(caller, key string) *saga.Earlier {
	for _, row := range m.rows {
		if row.Caller == caller && row.Key == key {
			return &row.Earlier
		}
	}
	return nil
}

func (m *sagaMemory) get(definition, id string) (saga.Saga, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, there := m.rows[id]
	if !there || row.Definition != definition {
		return saga.Saga{}, fault.New(fault.NotFound, "there is no such "+definition)
	}
	return row.Saga, nil
}

func (m *sagaMemory) claim(limit int, lease time.Duration) []saga.Saga {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var due []sagaRow
	for _, row := range m.rows {
		if !row.wake.IsZero() && row.wake.Before(now) {
			due = append(due, row)
		}
	}
	slices.SortFunc(due, func(a, b sagaRow) int { return cmp.Or(a.wake.Compare(b.wake), cmp.Compare(a.ID, b.ID)) })
	var out []saga.Saga
	for _, row := range due[:min(limit, len(due))] {
		row.Version++
		row.wake = now.Add(lease)
		m.rows[row.ID] = row
		out = append(out, row.Saga)
	}
	return out
}

func (m *sagaMemory) postpone(sagas []saga.Saga, wake time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range sagas {
		if row, there := m.rows[s.ID]; there && row.Version == s.Version {
			row.wake = m.now().Add(wake)
			m.rows[s.ID] = row
		}
	}
}

func (m *sagaMemory) advance(changes []saga.Change) []bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	applied := make([]bool, len(changes))
	for i, c := range changes {
		row, there := m.rows[c.ID]
		if applied[i] = there && row.Version == c.Version; applied[i] {
			row.Saga, row.wake = c.Saga, m.at(c.Wake)
			row.Version++
			m.rows[c.ID] = row
		}
	}
	return applied
}

// all lists the sagas, the first begun first.
func (m *sagaMemory) all() []sagaRow {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.rows), func(a, b sagaRow) int { return cmp.Compare(a.ID, b.ID) })
}

// sagaStore is the store of sagas as one coordinator reaches it. News is not there: nothing calls it here.
type sagaStore struct {
	saga.Store

	p *Process
}

// Unfinished implements saga.Store: a simulation has no metrics.
func (sagaStore) Unfinished(context.Context) (map[string]map[saga.State]int, error) { return nil, nil }

// Now implements saga.Store.
func (s sagaStore) Now(ctx context.Context) (time.Time, error) {
	return query(ctx, s.p, "now", false, func(l *leader) (time.Time, error) { return l.sagas.now(), nil })
}

// Create implements saga.Store.
func (s sagaStore) Create(ctx context.Context, n saga.New) (bool, error) {
	return query(ctx, s.p, "create "+n.Key, true, func(l *leader) (bool, error) { return l.sagas.create(n), nil })
}

// Find implements saga.Store.
func (s sagaStore) Find(ctx context.Context, caller, key string) (*saga.Earlier, error) {
	return query(ctx, s.p, "find "+key, false, func(l *leader) (*saga.Earlier, error) {
		l.sagas.mu.Lock()
		defer l.sagas.mu.Unlock()
		return l.sagas.find(caller, key), nil
	})
}

// Get implements saga.Store.
func (s sagaStore) Get(ctx context.Context, definition, id string) (saga.Saga, error) {
	return query(ctx, s.p, "get "+id, false, func(l *leader) (saga.Saga, error) { return l.sagas.get(definition, id) })
}

// Claim implements saga.Store.
func (s sagaStore) Claim(ctx context.Context, limit int, lease time.Duration) ([]saga.Saga, error) {
	return query(ctx, s.p, "claim sagas", true, func(l *leader) ([]saga.Saga, error) { return l.sagas.claim(limit, lease), nil })
}

// Postpone implements saga.Store.
func (s sagaStore) Postpone(ctx context.Context, sagas []saga.Saga, wake time.Duration) error {
	return exec(ctx, s.p, "postpone", func(l *leader) error {
		l.sagas.postpone(sagas, wake)
		return nil
	})
}

// Advance implements saga.Store.
func (s sagaStore) Advance(ctx context.Context, changes []saga.Change) ([]bool, error) {
	return query(ctx, s.p, "advance", true, func(l *leader) ([]bool, error) { return l.sagas.advance(changes), nil })
}

// Hold implements saga.Store: nobody has restored a backup.
func (sagaStore) Hold(context.Context) (time.Time, error) { return time.Time{}, nil }
