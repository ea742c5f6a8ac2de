package coordinatorpg_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/coordinator"
	"bookstore/services/coordinator/coordinatorpg"
	"bookstore/services/kit/fault"
	"bookstore/services/kit/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type fixture struct {
	*coordinatorpg.Store
	t    *testing.T
	pool *pgxpool.Pool
}

func open(t *testing.T) fixture {
	t.Helper()
	return openOn(t, pgtest.Server(t))
}

func openOn(t *testing.T, server *pgtest.Instance) fixture {
	t.Helper()
	pool := server.Database(t, coordinatorpg.Migrations)
	return fixture{coordinatorpg.New(pool, coordinator.DefaultSettings("test")), t, pool}
}

func claimOf(key string) coordinator.Claim {
	return coordinator.Claim{
		Kind: coordinator.KindPlace, Caller: "customer:c", Key: key, RequestHash: []byte{1},
		Branches: []string{"books", "orders"}, Payload: coordinator.Payload{OrderID: "o-" + key},
	}
}

func (f fixture) claim(key string) coordinator.Transaction {
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

func (f fixture) decide(gid string, d coordinator.Decision) (coordinator.State, bool) {
	f.t.Helper()
	state, bound, err := f.Decide(f.t.Context(), gid, "a", d)
	if err != nil {
		f.t.Fatal(err)
	}
	return state, bound
}

var (
	placed  = &coordinator.Outcome{Status: 201, Body: []byte(`{"id":"o"}`)}
	commit  = coordinator.Decision{State: coordinator.Committing, Outcome: placed}
	abandon = coordinator.Decision{State: coordinator.Aborted}
	refuse  = coordinator.Decision{State: coordinator.Aborted, Outcome: &coordinator.Outcome{Status: 409, Body: []byte(`{"code":"out_of_stock"}`)}}
)

func TestAnAttemptIsClaimedOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	if tx.GID != coordinator.GID("customer:c", "k", 1) || tx.State != coordinator.Preparing || time.Until(tx.Deadline) > 3*time.Second {
		t.Errorf("claimed %+v", tx)
	}
	if _, mine, err := f.Claim(t.Context(), claimOf("k"), 1, "b"); mine || err != nil {
		t.Errorf("claimed twice: %v, %v", mine, err)
	}
	latest, err := f.Latest(t.Context(), "customer:c", "k")
	if err != nil || latest.GID != tx.GID || latest.Lapsed || latest.Expired || latest.Outcome != nil || latest.RequestHash[0] != 1 {
		t.Errorf("found %+v, %v", latest, err)
	}
	if latest, err := f.Latest(t.Context(), "customer:c", "other"); latest != nil || err != nil {
		t.Errorf("found %+v, %v", latest, err)
	}
}

func TestTheFirstDecisionStands(t *testing.T) {
	t.Parallel()
	f := open(t)
	cases := []struct {
		name          string
		first, second coordinator.Decision
		want          coordinator.State
		bound         bool
	}{
		{"commit then abort", commit, abandon, coordinator.Committing, true},
		{"commit then commit: an answer was lost", commit, commit, coordinator.Committing, true},
		{"abort then commit", abandon, commit, coordinator.Aborted, false},
		{"refusal then commit", refuse, commit, coordinator.Aborted, true},
		{"refusal then refusal", refuse, refuse, coordinator.Aborted, true},
	}
	for i, c := range cases {
		tx := f.claim(fmt.Sprint("k", i))
		f.decide(tx.GID, c.first)
		if state, bound := f.decide(tx.GID, c.second); state != c.want || bound != c.bound {
			t.Errorf("%s: %s, %v", c.name, state, bound)
		}
	}
	if _, _, err := f.Decide(t.Context(), "nobody", "a", commit); fault.KindOf(err) != fault.TransactionNotFound {
		t.Errorf("decided about nothing: %v", err)
	}
}

func TestACommitComesInTimeOrNotAtAll(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	f.exec("UPDATE transactions SET deadline = now() - interval '1 ms' WHERE gid = $1", tx.GID)
	if state, bound := f.decide(tx.GID, commit); state != coordinator.Aborted || bound {
		t.Errorf("late commit: %s, %v", state, bound)
	}
}

func TestConcurrentDecisionsAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	for round := range 20 {
		tx := f.claim(fmt.Sprint("k", round))
		states := make([]coordinator.State, 6)
		var deciding sync.WaitGroup
		for i := range states {
			deciding.Go(func() {
				d := commit
				if i%2 == 1 {
					d = abandon
				}
				states[i], _, _ = f.Decide(t.Context(), tx.GID, "a", d)
			})
		}
		deciding.Wait()
		for _, s := range states {
			if s != states[0] || s == "" {
				t.Fatalf("they read %v", states)
			}
		}
	}
}

func TestOnlyLapsedAttemptsAreTakenOver(t *testing.T) {
	t.Parallel()
	f := open(t)
	undecided, decided, live, finished := f.claim("undecided"), f.claim("decided"), f.claim("live"), f.claim("finished")
	f.decide(decided.GID, commit)
	f.decide(finished.GID, coordinator.Decision{State: coordinator.Aborted, Unsent: true})
	for _, tx := range []coordinator.Transaction{undecided, decided, finished} {
		f.lapse(tx.GID)
	}
	if got, err := f.TakeOver(t.Context(), "b", live.GID, 10); err != nil || len(got) != 0 {
		t.Errorf("took a live one: %v, %v", got, err)
	}
	got, err := f.TakeOver(t.Context(), "b", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]coordinator.State{}
	for _, tx := range got {
		states[tx.GID] = tx.State
		if tx.Owner != "b" || len(tx.Branches) != 2 || tx.Payload.OrderID == "" || tx.DecidedAt.IsZero() {
			t.Errorf("took over %+v", tx)
		}
	}
	if len(got) != 2 || states[undecided.GID] != coordinator.Aborted || states[decided.GID] != coordinator.Committing {
		t.Errorf("took over %v", states)
	}
	if again, err := f.TakeOver(t.Context(), "c", "", 10); err != nil || len(again) != 0 {
		t.Errorf("taken over twice: %v, %v", again, err)
	}
	// The first owner comes back and finds its attempt aborted.
	if state, bound := f.decide(undecided.GID, commit); state != coordinator.Aborted || bound {
		t.Errorf("the old owner decided %s, %v", state, bound)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	lapsed := func() bool {
		t.Helper()
		latest, err := f.Latest(t.Context(), "customer:c", "k")
		if err != nil {
			t.Fatal(err)
		}
		return latest.Lapsed
	}
	f.lapse(tx.GID)
	if !lapsed() {
		t.Fatal("the lease did not lapse")
	}
	if err := f.Renew(t.Context(), "somebody else", []string{tx.GID}); err != nil || !lapsed() {
		t.Errorf("renewed for another: %v", err)
	}
	if err := f.Renew(t.Context(), "a", []string{tx.GID}); err != nil || lapsed() {
		t.Errorf("not renewed: %v", err)
	}
	if err := f.Release(t.Context(), "a", []string{tx.GID}); err != nil || !lapsed() {
		t.Errorf("not released: %v", err)
	}
}

func TestFinishing(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx := t.Context()
	committed, aborted, lost, running := f.claim("committed"), f.claim("aborted"), f.claim("lost"), f.claim("running")
	f.decide(committed.GID, commit)
	f.decide(aborted.GID, abandon)
	f.decide(lost.GID, commit)
	if err := f.Annotate(ctx, committed.GID, coordinator.Notes{"books": {LastError: "unavailable"}}); err != nil {
		t.Fatal(err)
	}
	if counts, err := f.Unfinished(ctx); err != nil || counts[coordinator.Committing].Count != 2 || counts[coordinator.Preparing].Count != 1 || counts[coordinator.Aborted].Count != 1 {
		t.Errorf("unfinished: %v, %v", counts, err)
	}
	err := f.Finish(ctx, []coordinator.Finished{
		{GID: committed.GID, State: coordinator.Committed},
		{GID: aborted.GID, State: coordinator.Aborted},
		{GID: lost.GID, State: coordinator.Heuristic, Notes: coordinator.Notes{"books": {State: "lost"}}},
		{GID: running.GID, State: coordinator.Committed}, // makes no sense, and does nothing
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]coordinator.State{
		committed.GID: coordinator.Committed, aborted.GID: coordinator.Aborted, lost.GID: coordinator.Heuristic, running.GID: coordinator.Preparing,
	}
	for gid, state := range want {
		tx, err := f.Transaction(ctx, gid)
		if err != nil || tx.State != state || tx.FinishedAt.IsZero() != (state == coordinator.Preparing) {
			t.Errorf("%+v, %v; want %s", tx, err, state)
		}
	}
	tx, _ := f.Transaction(ctx, lost.GID)
	if tx.BranchState("books") != "lost" {
		t.Errorf("notes %v", tx.Notes)
	}
	if tx, _ = f.Transaction(ctx, committed.GID); tx.Notes["books"].LastError != "unavailable" {
		t.Errorf("notes %v", tx.Notes)
	}
	latest, err := f.Latest(ctx, "customer:c", "committed")
	if err != nil || latest.Outcome == nil || string(latest.Outcome.Body) != string(placed.Body) || latest.Outcome.Status != 201 {
		t.Errorf("outcome %+v, %v", latest, err)
	}
	if _, err := f.Transaction(ctx, "nobody"); fault.KindOf(err) != fault.TransactionNotFound {
		t.Errorf("found nobody: %v", err)
	}
}

func TestListingShowsEachAttemptOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 7 {
		tx := f.claim(fmt.Sprint("k", i))
		if i%2 == 0 {
			f.decide(tx.GID, abandon)
		}
	}
	seen := map[string]bool{}
	filter := coordinator.Filter{Limit: 3}
	for page := 0; ; page++ {
		found, err := f.Transactions(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, tx := range found {
			if seen[tx.GID] {
				t.Errorf("%s was shown twice", tx.GID)
			}
			seen[tx.GID] = true
			filter.After = &coordinator.Position{CreatedAt: tx.CreatedAt, GID: tx.GID}
		}
		f.claim(fmt.Sprint("meanwhile", page))
		if len(found) < filter.Limit {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("saw %d of 7", len(seen))
	}
	aborted, err := f.Transactions(t.Context(), coordinator.Filter{State: coordinator.Aborted, Limit: 10})
	if err != nil || len(aborted) != 4 {
		t.Errorf("%d aborted, %v", len(aborted), err)
	}
}

func TestKeysAreFreeAfterADay(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	f.decide(tx.GID, refuse)
	f.exec("UPDATE transactions SET created_at = now() - interval '25 hours'")
	latest, err := f.Latest(context.WithoutCancel(t.Context()), "customer:c", "k")
	if err != nil || !latest.Expired {
		t.Errorf("%+v, %v", latest, err)
	}
}
