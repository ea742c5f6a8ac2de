package txnpg_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
	"bookstore/services/txn/txntest"
)

func (f fixture) ask(gid string) twophase.Standing {
	f.t.Helper()
	standing, err := f.Ask(f.t.Context(), gid, "left", "b")
	if err != nil {
		f.t.Fatal(err)
	}
	return standing
}

// bring takes an attempt to a state, with or without an outcome of success.
func (f fixture) bring(tx twophase.Transaction, to twophase.State, commits bool) {
	f.t.Helper()
	if to == twophase.Preparing {
		return
	}
	d := abandon
	if commits {
		d = commit
	}
	f.decide(tx.GID, d)
	if to == twophase.Committing || to == twophase.Aborted {
		return
	}
	if err := f.Finish(f.t.Context(), []twophase.Finished{{GID: tx.GID, State: to}}); err != nil {
		f.t.Fatal(err)
	}
}

// The statement does what the pure function says, in every state.
func TestAskingDoesWhatIsPresumed(t *testing.T) {
	t.Parallel()
	f := open(t)
	type row struct {
		state   twophase.State
		commits bool
	}
	for i, r := range []row{
		{twophase.Preparing, false},
		{twophase.Committing, true},
		{twophase.Committed, true},
		{twophase.Aborted, false},
		{twophase.Heuristic, true},
		{twophase.Heuristic, false},
	} {
		for j, s := range []txntest.Sight{{}, {Lapsed: true}, {Late: true}, {Lapsed: true, Late: true}} {
			tx := f.claim(fmt.Sprint("k", i, j))
			f.bring(tx, r.state, r.commits)
			if s.Lapsed {
				f.lapse(tx.GID)
			}
			if s.Late {
				f.exec("UPDATE transactions SET deadline = now() - interval '1 ms' WHERE gid = $1", tx.GID)
			}
			s.Found, s.State = true, r.state
			want := txntest.Presume(s)
			for range 2 {
				got := f.ask(tx.GID)
				if got.State != want || got.Commits != r.commits || !slices.Equal(got.Branches, tx.Branches) || got.Deadline.IsZero() {
					t.Errorf("%+v: %+v, want %s", s, got, want)
				}
			}
			if stored, err := f.Transaction(t.Context(), tx.GID); err != nil || stored.State != want || stored.Commits != r.commits {
				t.Errorf("%+v: stored %+v, %v", s, stored, err)
			}
		}
	}
}

func TestAnUnknownGIDIsAbortedForGood(t *testing.T) {
	t.Parallel()
	f := open(t)
	gid := twophase.GID("caller", "k", 1)
	for range 2 {
		s := f.ask(gid)
		if s.State != txntest.Presume(txntest.Sight{}) || s.Commits || !slices.Equal(s.Branches, []string{"left"}) || time.Until(s.Deadline) < 59*time.Minute {
			t.Errorf("told %+v", s)
		}
	}
	if _, mine, err := f.Claim(t.Context(), claimOf("k"), 1, "a"); mine || err != nil {
		t.Errorf("claimed what was told to be aborted: %v, %v", mine, err)
	}
	if latest, err := f.Latest(t.Context(), "caller", "k"); latest != nil || err != nil {
		t.Errorf("it belongs to %+v, %v", latest, err)
	}
	if _, mine, err := f.Claim(t.Context(), claimOf("k"), 2, "a"); !mine || err != nil {
		t.Errorf("the next attempt: %v, %v", mine, err)
	}
	tx, err := f.Transaction(t.Context(), gid)
	if err != nil || tx.Kind != twophase.KindUnknown || tx.State != twophase.Aborted || tx.FinishedAt.IsZero() {
		t.Errorf("on record as %+v, %v", tx, err)
	}
}

// A claim and a question about the same gid at once: either the claim's
// attempt may still commit and the answer is "pending", or there is none.
func TestAClaimAndAQuestionAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 20 {
		key := fmt.Sprint("k", i)
		var standing twophase.Standing
		var claimed bool
		var both sync.WaitGroup
		both.Go(func() { standing, _ = f.Ask(t.Context(), twophase.GID("caller", key, 1), "left", "b") })
		both.Go(func() { _, claimed, _ = f.Claim(t.Context(), claimOf(key), 1, "a") })
		both.Wait()
		if claimed != (twophase.Judge(standing, "left") == twophase.VerdictPending) {
			t.Fatalf("claimed %v, told %+v", claimed, standing)
		}
	}
}

// A question and the owner's decision at once: the answer is the decision.
func TestADecisionAndAQuestionAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 20 {
		tx := f.claim(fmt.Sprint("k", i))
		f.lapse(tx.GID)
		var standing twophase.Standing
		var state twophase.State
		var both sync.WaitGroup
		both.Go(func() { standing, _ = f.Ask(t.Context(), tx.GID, "left", "b") })
		both.Go(func() { state, _, _ = f.Decide(t.Context(), tx.GID, "a", commit) })
		both.Wait()
		if standing.State != state || !state.Decided() {
			t.Fatalf("decided %s, told %s", state, standing.State)
		}
	}
}

// An answer may be given only once the standbys have it: here none ever does.
func TestAnAnswerWaitsForTheStandbys(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	f := openOn(t, server)
	decided, lapsed := f.claim("decided"), f.claim("lapsed")
	f.decide(decided.GID, commit)
	f.lapse(lapsed.GID)
	server.HoldCommits(t)
	asked := make(chan error, 3)
	for _, gid := range []string{decided.GID, lapsed.GID, "nobody"} {
		go func() {
			_, err := f.Ask(t.Context(), gid, "left", "b")
			asked <- err
		}()
	}
	admin := server.Conn(t, "postgres")
	held := func() (n int) {
		err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for held() < 3 {
		select {
		case err := <-asked:
			t.Fatalf("answered while no standby has it: %v", err)
		case <-tick.C:
		}
	}
	server.ReleaseCommits(t)
	for range 3 {
		if err := <-asked; err != nil {
			t.Error(err)
		}
	}
}

func (f fixture) count(where string) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), "SELECT count(*) FROM transactions WHERE "+where).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

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
	f.ask("nobody")
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

func TestHeuristicOutcomesOfTheDayAreCounted(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.bring(f.claim("old"), twophase.Heuristic, true)
	f.age("25 hours")
	f.bring(f.claim("new"), twophase.Heuristic, true)
	f.claim("running")
	f.exec("UPDATE transactions SET created_at = now() - interval '90 s' WHERE idempotency_key = 'running'")
	counts, err := f.Unfinished(t.Context())
	if err != nil || counts[twophase.Heuristic].Count != 1 || counts[twophase.Preparing].Oldest.Round(10*time.Second) != 90*time.Second {
		t.Errorf("%+v, %v", counts, err)
	}
}

func TestAnAskThatCannotBeStoredAnswersNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	if s, err := f.Ask(t.Context(), strings.Repeat("a", 65), "left", "b"); !fault.Unknown(err) {
		t.Errorf("told %+v, %v", s, err)
	}
}

// A refusal whose session ended while it waited for the standby is visible, and
// yet may be gone after a failover: nobody is told of it before it is safe.
func TestARefusalIsReplayedOnceItIsSafe(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	f := openOn(t, server)
	tx := f.claim("k")
	server.HoldCommits(t)
	cut := server.Conn(t, f.pool.Config().ConnConfig.Database)
	refused := make(chan error, 1)
	go func() {
		_, err := cut.Exec(t.Context(), `UPDATE transactions SET state = 'aborted', decided_at = now(), finished_at = now(),
			outcome_status = 409, outcome_body = '{}' WHERE gid = $1`, tx.GID)
		refused <- err
	}()
	admin := server.Conn(t, "postgres")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; <-tick.C {
		err := admin.QueryRow(t.Context(), "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&ended)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-refused; err == nil {
		t.Fatal("the session was not ended")
	}
	hasty, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if latest, err := f.Latest(hasty, "caller", "k"); err == nil {
		t.Errorf("told of %+v, which no standby has", latest)
	}
	server.ReleaseCommits(t)
	if latest, err := f.Latest(t.Context(), "caller", "k"); err != nil || latest.Outcome == nil || latest.Outcome.Status != 409 {
		t.Errorf("found %+v, %v", latest, err)
	}
}
