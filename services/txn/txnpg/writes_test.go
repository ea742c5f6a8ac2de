package txnpg_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"bookstore/services/txn/twophase"
)

// Many claim and decide at once, some of them with what the database refuses
// and some under one key: each gets the answer to its own.
func TestWhatIsWrittenTogetherIsAnsweredApart(t *testing.T) {
	t.Parallel()
	f := open(t)
	const many = 60
	var mine [many / 2]int
	var mu sync.Mutex
	var writing sync.WaitGroup
	for i := range many {
		writing.Go(func() {
			c := claimOf(fmt.Sprint("k", i/2)) // two for each key
			if i%10 == 0 {
				c = claimOf("bad")
				c.Caller = strings.Repeat("x", 300)
			}
			tx, claimed, err := f.Claim(t.Context(), c, 1, "a")
			if bad := i%10 == 0; bad != (err != nil) {
				t.Errorf("claim %d: %v", i, err)
			}
			if err != nil || !claimed {
				return
			}
			mu.Lock()
			mine[i/2]++
			mu.Unlock()
			if tx.GID != twophase.GID(c.Caller, c.Key, 1) || tx.Deadline.IsZero() {
				t.Errorf("claim %d: %+v", i, tx)
			}
			d, want := commit, twophase.Committing
			if i%4 == 3 {
				d, want = abandon, twophase.Aborted
			}
			if state, _, err := f.Decide(t.Context(), tx.GID, "a", d); err != nil || state != want {
				t.Errorf("decide %d: %s, %v", i, state, err)
			}
		})
	}
	writing.Wait()
	for key, n := range mine {
		if n != 1 {
			t.Errorf("key %d was claimed %d times", key, n)
		}
	}
}
