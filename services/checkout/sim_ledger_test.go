package checkout_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// ledger is coordinatordb: it has a clock of its own, and a leader that may be
// away, or die with what its standbys have not got yet.
type ledger struct {
	w      *world
	memory *txntest.Memory

	skew atomic.Int64 // of its clock, in nanoseconds

	mu      sync.Mutex
	down    bool
	restore func() // undoes what no standby has; nil: they have it all
	verdict map[string]bool
}

func (l *ledger) now() time.Time { return time.Now().Add(time.Duration(l.skew.Load())) }

func (l *ledger) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
}

// start makes a standby the leader: what only the old one had is gone.
func (l *ledger) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.restore != nil {
		l.w.tellf("coordinatordb loses what was not replicated")
		l.restore()
	}
	l.down, l.restore = false, nil
}

// statement runs do on the leader. A write is acknowledged when the standbys
// have it, and everything before it; the wait for them may be cut short, and
// then it is visible, but safe only with the next write.
func (l *ledger) statement(name string, writes bool, do func()) error {
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
	if l.w.defect == byReading {
		short = .5
	}
	if l.w.rough.failovers && l.w.faulty("cut short "+name, short) {
		if l.restore == nil {
			l.restore = l.memory.Save()
		}
		do()
		return fault.New(fault.OutcomeUnknown, "the connection broke")
	}
	do()
	l.restore = nil
	return nil
}

// decided notes what somebody has been told about gid, and that it stays so.
func (l *ledger) decided(gid string, commits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verdict == nil {
		l.verdict = map[string]bool{}
	}
	if before, known := l.verdict[gid]; known && before != commits {
		l.w.breachf("%s: two decisions were told, commit %v and commit %v", gid, before, commits)
	}
	l.verdict[gid] = commits
}

// session is coordinatordb as one process reaches it.
type session struct {
	twophase.Records
	*process
	l *ledger
}

var _ twophase.Store = session{}

// write is a statement that came back, or an error that leaves it open.
func write[T any](ctx context.Context, s session, name string, do func(*txntest.Memory) (T, error)) (T, error) {
	return query(ctx, s, name, true, do)
}

func query[T any](ctx context.Context, s session, name string, writes bool, do func(*txntest.Memory) (T, error)) (T, error) {
	name = s.name + " " + name
	return once(ctx, s.process, name, func() (value T, err error) {
		if broken := s.l.statement(name, writes, func() { value, err = do(s.l.memory) }); broken != nil {
			var none T
			return none, broken
		}
		return value, err
	})
}

// once is send over a connection that delivers nothing twice.
func once[T any](ctx context.Context, p *process, call string, handle func() (T, error)) (T, error) {
	var first sync.Once
	return send(ctx, p, call, func() (value T, err error) {
		err = gone()
		first.Do(func() { value, err = handle() })
		return value, err
	})
}

type claimed struct {
	tx   twophase.Transaction
	mine bool
}

// Claim implements twophase.Store.
func (s session) Claim(ctx context.Context, c twophase.Claim, n int, owner string) (twophase.Transaction, bool, error) {
	got, err := write(ctx, s, "claim "+c.Key, func(m *txntest.Memory) (claimed, error) {
		tx, mine, err := m.Claim(ctx, c, n, owner)
		return claimed{tx, mine}, err
	})
	return got.tx, got.mine, err
}

// Latest implements twophase.Store.
func (s session) Latest(ctx context.Context, caller, key string) (*twophase.Latest, error) {
	return query(ctx, s, "latest "+key, false, func(m *txntest.Memory) (*twophase.Latest, error) {
		latest, err := m.Latest(ctx, caller, key)
		if latest != nil && latest.State == twophase.Aborted && latest.Outcome != nil {
			s.l.restore = nil // a refusal is told of when the standbys have it
		}
		return latest, err
	})
}

// known tells whether a decision can be read, of which nobody knows whether it
// stays.
func (s session) known(ctx context.Context, gid string) bool {
	tx, err := s.l.memory.Transaction(ctx, gid)
	return err == nil && tx.State.Decided()
}

type settled struct {
	state twophase.State
	bound bool
}

// Decide implements twophase.Store.
func (s session) Decide(ctx context.Context, gid, owner string, d twophase.Decision) (twophase.State, bool, error) {
	writes := s.w.defect != byReading || !s.known(ctx, gid)
	got, err := query(ctx, s, "decide "+gid, writes, func(m *txntest.Memory) (settled, error) {
		state, bound, err := m.Decide(ctx, gid, owner, d)
		return settled{state, bound}, err
	})
	if err == nil && got.state != twophase.Heuristic { // which says nothing about the decision
		s.l.decided(gid, got.state == twophase.Committing || got.state == twophase.Committed)
	}
	return got.state, got.bound, err
}

// Ask implements twophase.Store.
func (s session) Ask(ctx context.Context, gid, branch, owner string) (twophase.Standing, error) {
	got, err := write(ctx, s, "ask "+gid, func(m *txntest.Memory) (twophase.Standing, error) {
		return m.Ask(ctx, gid, branch, owner)
	})
	if err == nil && got.State.Decided() {
		s.l.decided(gid, got.Commits)
	}
	return got, err
}

// Finish implements twophase.Store.
func (s session) Finish(ctx context.Context, done []twophase.Finished) error {
	_, err := write(ctx, s, "finish", func(m *txntest.Memory) (struct{}, error) {
		return struct{}{}, m.Finish(ctx, done)
	})
	return err
}

// Annotate implements twophase.Store.
func (s session) Annotate(ctx context.Context, gid string, notes twophase.Notes) error {
	_, err := write(ctx, s, "annotate", func(m *txntest.Memory) (struct{}, error) {
		return struct{}{}, m.Annotate(ctx, gid, notes)
	})
	return err
}

// Renew implements twophase.Store.
func (s session) Renew(ctx context.Context, owner string, gids []string) error {
	_, err := write(ctx, s, "renew", func(m *txntest.Memory) (struct{}, error) {
		return struct{}{}, m.Renew(ctx, owner, gids)
	})
	return err
}

// Release implements twophase.Store.
func (s session) Release(ctx context.Context, owner string, gids []string) error {
	_, err := write(ctx, s, "release", func(m *txntest.Memory) (struct{}, error) {
		return struct{}{}, m.Release(ctx, owner, gids)
	})
	return err
}

// TakeOver implements twophase.Store.
func (s session) TakeOver(ctx context.Context, owner, gid string, limit int) ([]twophase.Transaction, error) {
	got, err := write(ctx, s, "take over", func(m *txntest.Memory) ([]twophase.Transaction, error) {
		return m.TakeOver(ctx, owner, gid, limit)
	})
	if err == nil {
		for _, tx := range got {
			s.l.decided(tx.GID, tx.Commits)
		}
	}
	return got, err
}
