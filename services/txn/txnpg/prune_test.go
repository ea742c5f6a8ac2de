package txnpg_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
)

// age makes every row older.
func (f fixture) age(by string) {
	f.exec(`UPDATE transactions SET created_at = created_at - $1::interval, decided_at = decided_at - $1::interval,
		finished_at = finished_at - $1::interval, lease_until = lease_until - $1::interval, deadline = deadline - $1::interval`, by)
}

const month = 35 * 24 * time.Hour

func (f fixture) prune(limit int) int {
	f.t.Helper()
	tag, err := f.pool.Exec(f.t.Context(), txnpg.Cleaners(month, month)[0].Delete, month, limit)
	if err != nil {
		f.t.Fatal(err)
	}
	return int(tag.RowsAffected())
}

func TestOnlyWhatEndedLongAgoIsPruned(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, state := range twophase.States() {
		for _, age := range []string{"old", "young"} {
			tx := f.claim(age + string(state))
			f.bring(tx, state, state != twophase.Aborted)
			if state == twophase.Aborted {
				f.exec("UPDATE transactions SET finished_at = now() WHERE gid = $1", tx.GID)
			}
		}
	}
	f.presume("nobody")
	f.age("36 days")
	f.exec("UPDATE transactions SET finished_at = now() - interval '34 days' WHERE idempotency_key LIKE 'young%' AND finished_at IS NOT NULL")
	if n := f.prune(100); n != 2 || f.count("idempotency_key IN ('oldcommitted', 'oldaborted')") != 0 {
		t.Errorf("pruned %d rows", n)
	}
	if left := f.count("true"); left != 2*len(twophase.States())-2+1 {
		t.Errorf("%d rows left", left)
	}
}

func TestPruningIsDoneInBatches(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 5 {
		f.decide(f.claim(fmt.Sprint("k", i)).GID, twophase.Decision{State: twophase.Aborted, Unsent: true})
	}
	f.age("36 days")
	if got := fmt.Sprint(f.prune(2), f.prune(2), f.prune(2), f.prune(2)); got != "2 2 1 0" {
		t.Errorf("pruned %s", got)
	}
}

// Of a key's attempts the last goes first: a claim of attempt 1 must not find
// room below one that has an outcome.
func TestAttemptsOfAKeyArePrunedFromTheLast(t *testing.T) {
	t.Parallel()
	f := open(t)
	over := twophase.Decision{State: twophase.Aborted, Unsent: true}
	f.decide(f.claim("k").GID, over)
	f.age("36 days")
	second, mine, err := f.Claim(t.Context(), claimOf("k"), 2, "a")
	if !mine || err != nil {
		t.Fatalf("claimed %v, %v", mine, err)
	}
	f.decide(second.GID, over)
	if n := f.prune(10); n != 0 {
		t.Errorf("%d pruned under a young attempt", n)
	}
	f.age("36 days")
	if first, then := f.prune(10), f.prune(10); first != 1 || then != 1 {
		t.Errorf("pruned %d, then %d", first, then)
	}
	if _, mine, err := f.Claim(t.Context(), claimOf("k"), 3, "a"); mine || err != nil {
		t.Errorf("claimed an attempt above a gap: %v, %v", mine, err)
	}
	f.claim("k")
}

// Claims of the next attempt and pruning at once, over and over: never is
// there an attempt without the one before it.
func TestPruningLeavesNoGap(t *testing.T) {
	t.Parallel()
	f := open(t)
	const keys = 40
	for i := range keys {
		f.decide(f.claim(fmt.Sprint("k", i)).GID, twophase.Decision{State: twophase.Aborted, Unsent: true})
	}
	f.age("36 days")
	var working sync.WaitGroup
	working.Go(func() {
		for i := range keys {
			if _, _, err := f.Claim(t.Context(), claimOf(fmt.Sprint("k", i)), 2, "a"); err != nil {
				t.Error(err)
			}
		}
	})
	working.Go(func() {
		for range keys {
			f.prune(1)
		}
	})
	working.Wait()
	if n := f.count(`attempt = 2 AND NOT EXISTS (SELECT FROM transactions first
		WHERE first.idempotency_key = transactions.idempotency_key AND first.attempt = 1)`); n != 0 {
		t.Errorf("%d second attempts have lost their first", n)
	}
}
