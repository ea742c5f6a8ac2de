package txnpg_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
	"bookstore/services/txn/txntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// What every store promises is in txntest; what PostgreSQL adds (races
// of statements, standbys) is tested here.
func TestPostgreSQLKeepsTheContract(t *testing.T) {
	t.Parallel()
	txntest.Contract(t, func(t *testing.T) txntest.Subject {
		t.Helper()
		f := open(t)
		return txntest.Subject{
			Store: f.Store,
			Lapse: f.lapse,
			Expire: func(gid string) {
				f.exec("UPDATE transactions SET deadline = now() - interval '1 ms' WHERE gid = $1", gid)
			},
			Age: func(gid string, past time.Duration) {
				f.exec(`UPDATE transactions SET created_at = created_at - $2 * interval '1 s', decided_at = decided_at - $2 * interval '1 s',
					finished_at = finished_at - $2 * interval '1 s', lease_until = lease_until - $2 * interval '1 s'
					WHERE gid = $1`, gid, past.Seconds())
			},
		}
	})
}

type fixture struct {
	*txnpg.Store
	t    *testing.T
	pool *pgxpool.Pool
}

func open(t *testing.T) fixture {
	t.Helper()
	return openOn(t, pgtest.Server(t))
}

func openOn(t *testing.T, server *pgtest.Instance) fixture {
	t.Helper()
	pool := server.Database(t, txnpg.Migrations)
	return fixture{txnpg.New(pool, twophase.DefaultSettings("test")), t, pool}
}

func claimOf(key string) twophase.Claim {
	return twophase.Claim{
		Kind: "transfer", Caller: "caller", Key: key, RequestHash: []byte{1},
		Branches: []string{"left", "right"}, Payload: []byte(`{"for":"` + key + `"}`),
	}
}

func (f fixture) claim(key string) twophase.Transaction {
	f.t.Helper()
	tx, mine, err := f.Claim(f.t.Context(), claimOf(key), 1, "a")
	if err != nil || !mine {
		f.t.Fatalf("claim %s: %v, %v", key, mine, err)
	}
	return tx
}

func (f fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

// lapse ends the lease of an attempt, as the death of its owner would.
func (f fixture) lapse(gid string) {
	f.exec("UPDATE transactions SET lease_until = now() - interval '1 ms' WHERE gid = $1", gid)
}

func (f fixture) decide(gid string, d twophase.Decision) (twophase.State, bool) {
	f.t.Helper()
	state, bound, err := f.Decide(f.t.Context(), gid, "a", d)
	if err != nil {
		f.t.Fatal(err)
	}
	return state, bound
}

var (
	placed  = &twophase.Outcome{Status: 201, Body: []byte(`{"id":"o"}`)}
	commit  = twophase.Decision{State: twophase.Committing, Outcome: placed}
	abandon = twophase.Decision{State: twophase.Aborted}
)

// Many claim and decide at once, some of them with what the database refuses
// and some under one key: each gets the answer to its own.
func TestStatementsOfOneBatchAreAnsweredEach(t *testing.T) {
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
