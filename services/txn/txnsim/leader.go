package txnsim

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// leader is the coordinators' database: it has a clock of its own, may be away, and may
// fail with what was not replicated yet.
type leader struct {
	w            *World
	transactions *txntest.Memory
	sagas        *sagaMemory

	skew atomic.Int64 // of its clock, in nanoseconds

	mu      sync.Mutex
	down    bool
	restore []func() // undo what no standby has; nil: they have it all
	verdict map[string]bool
}

func newLeader(w *World, s twophase.Settings) *leader {
	l := &leader{w: w, verdict: map[string]bool{}}
	l.transactions, l.sagas = txntest.NewMemory(s, l.now), newSagaMemory(l.now)
	return l
}

func (l *leader) now() time.Time { return time.Now().Add(time.Duration(l.skew.Load())) }

func (l *leader) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
}

// start makes a standby the leader: what only the old one had is gone.
func (l *leader) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.restore != nil {
		l.w.Tellf("the coordinators' database loses what was not replicated")
	}
	for _, restore := range l.restore {
		restore()
	}
	l.down, l.restore = false, nil
}

// statement runs do on the leader. A write is acknowledged when the standbys have it and
// everything before it. Their wait may be cut short: then the write is visible, but it is
// safe only with the next one.
func (l *leader) statement(name string, writes bool, do func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return fault.New(fault.Unavailable, "there is no leader")
	}
	if !writes {
		do()
		return nil
	}
	short := .2
	if l.w.defect == DecidedByReading {
		short = .5
	}
	if l.w.rates.failovers && l.w.faulty("cut short "+name, short) {
		if l.restore == nil {
			l.restore = []func(){l.transactions.Save(), l.sagas.save()}
		}
		do()
		return fault.New(fault.OutcomeUnknown, "the connection broke")
	}
	do()
	l.restore = nil
	return nil
}

// decided records what somebody was told about gid: it must stay so.
func (l *leader) decided(gid string, commits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, known := l.verdict[gid]; known && before != commits {
		l.w.Breachf("%s: two decisions were told, commit %v and commit %v", gid, before, commits)
	}
	l.verdict[gid] = commits
}

// query runs a statement of p, which returns, or fails and leaves open whether it was run.
func query[T any](ctx context.Context, p *Process, name string, writes bool, do func(*leader) (T, error)) (T, error) {
	l := p.w.leader
	name = p.Name + " " + name
	return sendOnce(ctx, p, name, func() (value T, err error) {
		if broken := l.statement(name, writes, func() { value, err = do(l) }); broken != nil {
			var nothing T
			return nothing, broken
		}
		return value, err
	})
}

// exec is query for a write that returns nothing.
func exec(ctx context.Context, p *Process, name string, do func(*leader) error) error {
	_, err := query(ctx, p, name, true, func(l *leader) (struct{}, error) { return struct{}{}, do(l) })
	return err
}

// transactionStore is the store of transactions as one coordinator reaches it.
type transactionStore struct {
	twophase.Records

	p *Process
	l *leader
}

var _ twophase.Store = transactionStore{}

type claimed struct {
	tx   twophase.Transaction
	mine bool
}

// Claim implements twophase.Store.
func (s transactionStore) Claim(ctx context.Context, c twophase.Claim, n int, owner string) (twophase.Transaction, bool, error) {
	got, err := query(ctx, s.p, "claim "+c.Key, true, func(l *leader) (claimed, error) {
		tx, mine, err := l.transactions.Claim(ctx, c, n, owner)
		return claimed{tx, mine}, err
	})
	return got.tx, got.mine, err
}

// Latest implements twophase.Store.
func (s transactionStore) Latest(ctx context.Context, caller, key string) (*twophase.Latest, error) {
	return query(ctx, s.p, "latest "+key, false, func(l *leader) (*twophase.Latest, error) {
		latest, err := l.transactions.Latest(ctx, caller, key)
		if latest != nil && latest.State == twophase.Aborted && latest.Outcome != nil {
			l.restore = nil // a refusal is returned when the standbys have it
		}
		return latest, err
	})
}

type decided struct {
	state twophase.State
	bound bool
}

// Decide implements twophase.Store.
func (s transactionStore) Decide(ctx context.Context, gid, owner string, d twophase.Decision) (twophase.State, bool, error) {
	writes := s.p.w.defect != DecidedByReading || !s.visible(ctx, gid)
	got, err := query(ctx, s.p, "decide "+gid, writes, func(l *leader) (decided, error) {
		state, bound, err := l.transactions.Decide(ctx, gid, owner, d)
		return decided{state, bound}, err
	})
	if err == nil && got.state != twophase.Heuristic { // which says nothing about the decision
		s.l.decided(gid, got.state == twophase.Committing || got.state == twophase.Committed)
	}
	return got.state, got.bound, err
}

// visible tells whether a decision can be read, which may yet be lost.
func (s transactionStore) visible(ctx context.Context, gid string) bool {
	tx, err := s.l.transactions.Transaction(ctx, gid)
	return err == nil && tx.State.Decided()
}

// Presume implements twophase.Store.
func (s transactionStore) Presume(ctx context.Context, gid, branch, owner string) (twophase.Standing, error) {
	got, err := query(ctx, s.p, "presume "+gid, true, func(l *leader) (twophase.Standing, error) {
		return l.transactions.Presume(ctx, gid, branch, owner)
	})
	if err == nil && got.State.Decided() {
		s.l.decided(gid, got.Commits)
	}
	return got, err
}

// Finish implements twophase.Store.
func (s transactionStore) Finish(ctx context.Context, done []twophase.Finished) error {
	return exec(ctx, s.p, "finish", func(l *leader) error { return l.transactions.Finish(ctx, done) })
}

// Annotate implements twophase.Store.
func (s transactionStore) Annotate(ctx context.Context, gid string, notes twophase.Notes) error {
	return exec(ctx, s.p, "annotate", func(l *leader) error { return l.transactions.Annotate(ctx, gid, notes) })
}

// Renew implements twophase.Store.
func (s transactionStore) Renew(ctx context.Context, owner string, gids []string) error {
	return exec(ctx, s.p, "renew", func(l *leader) error { return l.transactions.Renew(ctx, owner, gids) })
}

// Release implements twophase.Store.
func (s transactionStore) Release(ctx context.Context, owner string, gids []string) error {
	return exec(ctx, s.p, "release", func(l *leader) error { return l.transactions.Release(ctx, owner, gids) })
}

// TakeOver implements twophase.Store.
func (s transactionStore) TakeOver(ctx context.Context, owner, gid string, limit int) ([]twophase.Transaction, error) {
	got, err := query(ctx, s.p, "take over", true, func(l *leader) ([]twophase.Transaction, error) {
		return l.transactions.TakeOver(ctx, owner, gid, limit)
	})
	if err == nil {
		for _, tx := range got {
			s.l.decided(tx.GID, tx.Commits)
		}
	}
	return got, err
}
