package txntest

import (
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/txn/twophase"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	Contract(t, func(*testing.T) Subject {
		var calls atomic.Int64
		// Between two statements time passes.
		clock := func() time.Time { return time.Now().Add(time.Duration(calls.Add(1)) * time.Microsecond) }
		m := NewMemory(twophase.DefaultSettings("test"), clock)
		change := func(gid string, how func(*record)) {
			m.mu.Lock()
			defer m.mu.Unlock()
			r := m.rows[gid]
			how(&r)
			m.rows[gid] = r
		}
		earlier := func(at *time.Time, by time.Duration) {
			if !at.IsZero() {
				*at = at.Add(-by)
			}
		}
		return Subject{
			Store:  m,
			Lapse:  func(gid string) { change(gid, func(r *record) { r.lease = m.now().Add(-time.Millisecond) }) },
			Expire: func(gid string) { change(gid, func(r *record) { r.Deadline = m.now().Add(-time.Millisecond) }) },
			Age: func(gid string, past time.Duration) {
				change(gid, func(r *record) {
					for _, at := range []*time.Time{&r.CreatedAt, &r.DecidedAt, &r.FinishedAt, &r.lease} {
						earlier(at, past)
					}
				})
			},
		}
	})
}

func TestAFailoverBringsBackWhatWas(t *testing.T) {
	t.Parallel()
	m := NewMemory(twophase.DefaultSettings("test"), time.Now)
	f := fixture{Subject{Store: m}, t}
	tx := f.claim("k")
	restore := m.Save()
	f.decide(tx.GID, commit)
	f.claim("later")
	restore()
	if got := f.read(tx.GID); got.State != twophase.Preparing {
		t.Errorf("still %s", got.State)
	}
	if f.latest("later") != nil {
		t.Error("what came later is still there")
	}
}
