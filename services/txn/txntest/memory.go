// Package txntest keeps transactions in memory, for simulations, and holds every
// twophase.Store to one contract.
package txntest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

// Memory is twophase.Store in memory, statement for statement what
// txnpg does. Each method is one moment: nothing is half done.
type Memory struct {
	lease   time.Duration
	timeout time.Duration
	clock   func() time.Time // the database's

	mu   sync.Mutex
	rows map[string]record // by gid
}

// record is a row of transactions.
type record struct {
	twophase.Transaction
	hash    []byte
	lease   time.Time
	outcome *twophase.Outcome
}

var _ twophase.Store = (*Memory)(nil)

// NewMemory makes an empty store that gives out leases and deadlines as s says.
func NewMemory(s twophase.Settings, clock func() time.Time) *Memory {
	return &Memory{lease: s.Lease, timeout: s.AttemptTimeout, clock: clock, rows: map[string]record{}}
}

// now is to the microsecond, like PostgreSQL's.
func (m *Memory) now() time.Time { return m.clock().UTC().Truncate(time.Microsecond) }

// Save remembers all rows; what it returns brings them back, as a failover does
// that loses what no standby had.
func (m *Memory) Save() (restore func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	saved := maps.Clone(m.rows) // rows are replaced, never changed
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.rows = maps.Clone(saved)
	}
}

// Claim implements twophase.Store.
func (m *Memory) Claim(_ context.Context, c twophase.Claim, n int, owner string) (twophase.Transaction, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, gid := m.now(), twophase.GID(c.Caller, c.Key, n)
	if n > 1 {
		before := twophase.GID(c.Caller, c.Key, n-1)
		previous, there := m.rows[before]
		if !there || previous.State == twophase.Preparing || previous.State == twophase.Committing {
			return twophase.Transaction{}, false, nil
		}
		previous.lease = later(previous.lease, now)
		m.rows[before] = previous
	}
	if _, taken := m.rows[gid]; taken {
		return twophase.Transaction{}, false, nil
	}
	tx := twophase.Transaction{
		GID: gid, Kind: c.Kind, State: twophase.Preparing, Caller: c.Caller, Key: c.Key, Attempt: n,
		Branches: slices.Clone(c.Branches), Payload: c.Payload, Owner: owner,
		Deadline: now.Add(m.timeout), CreatedAt: now,
	}
	m.rows[gid] = record{Transaction: tx, hash: bytes.Clone(c.RequestHash), lease: now.Add(m.lease)}
	return tx, true, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Latest implements twophase.Store.
func (m *Memory) Latest(_ context.Context, caller, key string) (*twophase.Latest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found *record
	for _, r := range m.rows {
		if r.Caller == caller && r.Key == key && (found == nil || r.Attempt > found.Attempt) {
			found = &r
		}
	}
	if found == nil {
		return nil, nil
	}
	now := m.now()
	return &twophase.Latest{
		Transaction: found.view(), RequestHash: bytes.Clone(found.hash), Outcome: found.outcome,
		Lapsed: found.lease.Before(now), Expired: found.CreatedAt.Before(now.Add(-24 * time.Hour)),
	}, nil
}

// view is what a reader gets of a row.
func (r *record) view() twophase.Transaction {
	tx := r.Transaction
	tx.Commits = r.commits()
	tx.Branches, tx.Notes = slices.Clone(tx.Branches), maps.Clone(tx.Notes)
	return tx
}

func (r *record) commits() bool { return r.outcome != nil && r.outcome.Status < 300 }

// Decide implements twophase.Store.
func (m *Memory) Decide(_ context.Context, gid, owner string, d twophase.Decision) (twophase.State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r, there := m.rows[gid]
	inTime := d.State == twophase.Aborted || r.Deadline.After(now)
	switch {
	case !there:
		return "", false, fault.New(fault.TransactionNotFound, "there is no such transaction")
	case d.State == twophase.Committing && d.Outcome == nil:
		return "", false, fault.New(fault.Internal, "a commit is decided together with what it came to")
	case r.State == twophase.Preparing && inTime:
		r.State, r.outcome, r.DecidedAt = d.State, d.Outcome, now
		if d.State == twophase.Aborted && d.Unsent {
			r.FinishedAt = now
		}
	default:
		r.presume(now)
		r.Owner = owner
	}
	m.rows[gid] = r
	return r.State, r.outcome != nil, nil
}

// presume writes the presumed abort down.
func (r *record) presume(now time.Time) {
	if r.State == twophase.Preparing {
		r.State, r.DecidedAt = twophase.Aborted, now
	}
}

// Presume implements twophase.Store.
func (m *Memory) Presume(_ context.Context, gid, branch, owner string) (twophase.Standing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r, there := m.rows[gid]
	switch {
	case !there:
		r = record{lease: now, Transaction: twophase.Transaction{
			GID: gid, Kind: twophase.KindUnknown, State: twophase.Aborted, Key: gid, Attempt: 1,
			Branches: []string{branch}, Owner: owner, Deadline: now.Add(time.Hour),
			CreatedAt: now, DecidedAt: now, FinishedAt: now,
		}}
	case r.lease.Before(now) || !r.Deadline.After(now):
		r.presume(now)
	}
	m.rows[gid] = r
	return twophase.Standing{State: r.State, Commits: r.commits(), Branches: slices.Clone(r.Branches), Deadline: r.Deadline}, nil
}

// Finish implements twophase.Store.
func (m *Memory) Finish(_ context.Context, done []twophase.Finished) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range done {
		r, there := m.rows[d.GID]
		if !there || !r.FinishedAt.IsZero() || !follows(r.State, d.State) {
			continue
		}
		r.State, r.FinishedAt = d.State, m.now()
		if len(d.Notes) > 0 {
			r.Notes = maps.Clone(d.Notes)
		}
		m.rows[d.GID] = r
	}
	return nil
}

// follows tells whether an attempt may end so.
func follows(from, to twophase.State) bool {
	switch to {
	case twophase.Committed:
		return from == twophase.Committing
	case twophase.Aborted:
		return from == twophase.Aborted
	case twophase.Heuristic:
		return from == twophase.Committing || from == twophase.Aborted
	}
	return false
}

// Annotate implements twophase.Store.
func (m *Memory) Annotate(_ context.Context, gid string, notes twophase.Notes) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, there := m.rows[gid]; there && r.FinishedAt.IsZero() {
		all := twophase.Notes{}
		maps.Copy(all, r.Notes)
		maps.Copy(all, notes)
		r.Notes = all
		m.rows[gid] = r
	}
	return nil
}

// Renew implements twophase.Store.
func (m *Memory) Renew(_ context.Context, owner string, gids []string) error {
	m.lend(owner, gids, m.lease)
	return nil
}

// Release implements twophase.Store.
func (m *Memory) Release(_ context.Context, owner string, gids []string) error {
	m.lend(owner, gids, 0)
	return nil
}

func (m *Memory) lend(owner string, gids []string, lease time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, gid := range gids {
		if r, there := m.rows[gid]; there && r.Owner == owner && r.FinishedAt.IsZero() {
			r.lease = m.now().Add(lease)
			m.rows[gid] = r
		}
	}
}

// TakeOver implements twophase.Store.
func (m *Memory) TakeOver(_ context.Context, owner, gid string, limit int) ([]twophase.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var lapsed []record
	for _, r := range m.rows {
		if r.FinishedAt.IsZero() && r.lease.Before(now) && (gid == "" || r.GID == gid) {
			lapsed = append(lapsed, r)
		}
	}
	slices.SortFunc(lapsed, func(a, b record) int { return cmp.Or(a.lease.Compare(b.lease), cmp.Compare(a.GID, b.GID)) })
	var taken []twophase.Transaction
	for _, r := range lapsed[:min(limit, len(lapsed))] {
		r.presume(now)
		r.Owner, r.lease = owner, now.Add(m.lease)
		m.rows[r.GID] = r
		taken = append(taken, r.view())
	}
	return taken, nil
}

// Unfinished implements twophase.Records.
func (m *Memory) Unfinished(context.Context) (map[twophase.State]twophase.Backlog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	counts := map[twophase.State]twophase.Backlog{}
	for _, r := range m.rows {
		b := counts[r.State]
		switch {
		case r.FinishedAt.IsZero():
			b.Oldest = max(b.Oldest, now.Sub(r.CreatedAt))
		case r.State != twophase.Heuristic || now.Sub(r.FinishedAt) >= 24*time.Hour:
			continue
		}
		b.Count++
		counts[r.State] = b
	}
	return counts, nil
}

// Transaction implements twophase.Records.
func (m *Memory) Transaction(_ context.Context, gid string) (twophase.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, there := m.rows[gid]
	if !there {
		return twophase.Transaction{}, fault.New(fault.TransactionNotFound, "there is no such transaction")
	}
	return r.view(), nil
}

// Transactions implements twophase.Records.
func (m *Memory) Transactions(_ context.Context, f twophase.Filter) ([]twophase.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []twophase.Transaction
	for _, r := range m.rows {
		after := f.After == nil || newest(r.CreatedAt, f.After.CreatedAt, r.GID, f.After.GID) > 0
		if after && (f.State == "" || r.State == f.State) {
			found = append(found, r.view())
		}
	}
	slices.SortFunc(found, func(a, b twophase.Transaction) int { return newest(a.CreatedAt, b.CreatedAt, a.GID, b.GID) })
	return found[:min(f.Limit, len(found))], nil
}

// newest compares two places in the list, the newest first.
func newest(a, b time.Time, x, y string) int { return cmp.Or(b.Compare(a), cmp.Compare(y, x)) }
