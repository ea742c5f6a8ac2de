package txntest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

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
