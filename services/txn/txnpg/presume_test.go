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
	"bookstore/services/txn/txntest"
)

func (f fixture) presume(gid string) twophase.Standing {
	f.t.Helper()
	standing, err := f.Presume(f.t.Context(), gid, "left", "b")
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
func TestPresumeFollowsTheRule(t *testing.T) {
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
		for j, s := range []txntest.Record{{}, {Lapsed: true}, {Late: true}, {Lapsed: true, Late: true}} {
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
				got := f.presume(tx.GID)
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
		s := f.presume(gid)
		if s.State != txntest.Presume(txntest.Record{}) || s.Commits || !slices.Equal(s.Branches, []string{"left"}) || time.Until(s.Deadline) < 59*time.Minute {
			t.Errorf("answered %+v", s)
		}
	}
	if _, mine, err := f.Claim(t.Context(), claimOf("k"), 1, "a"); mine || err != nil {
		t.Errorf("claimed what was answered to be aborted: %v, %v", mine, err)
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
func TestAClaimAndAQueryAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 20 {
		key := fmt.Sprint("k", i)
		var standing twophase.Standing
		var claimed bool
		var both sync.WaitGroup
		both.Go(func() { standing, _ = f.Presume(t.Context(), twophase.GID("caller", key, 1), "left", "b") })
		both.Go(func() { _, claimed, _ = f.Claim(t.Context(), claimOf(key), 1, "a") })
		both.Wait()
		if claimed != (standing.Verdict("left") == twophase.VerdictPending) {
			t.Fatalf("claimed %v, answered %+v", claimed, standing)
		}
	}
}

// A question and the owner's decision at once: the answer is the decision.
func TestADecisionAndAQueryAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 20 {
		tx := f.claim(fmt.Sprint("k", i))
		f.lapse(tx.GID)
		var standing twophase.Standing
		var state twophase.State
		var both sync.WaitGroup
		both.Go(func() { standing, _ = f.Presume(t.Context(), tx.GID, "left", "b") })
		both.Go(func() { state, _, _ = f.Decide(t.Context(), tx.GID, "a", commit) })
		both.Wait()
		if standing.State != state || !state.Decided() {
			t.Fatalf("decided %s, answered %s", state, standing.State)
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
	answers := make(chan error, 3)
	for _, gid := range []string{decided.GID, lapsed.GID, "nobody"} {
		go func() {
			_, err := f.Presume(t.Context(), gid, "left", "b")
			answers <- err
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
		case err := <-answers:
			t.Fatalf("answered while no standby has it: %v", err)
		case <-tick.C:
		}
	}
	server.ReleaseCommits(t)
	for range 3 {
		if err := <-answers; err != nil {
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

func TestAPresumedAbortThatCannotBeStoredIsNotAnswered(t *testing.T) {
	t.Parallel()
	f := open(t)
	if s, err := f.Presume(t.Context(), strings.Repeat("a", 65), "left", "b"); !fault.Unknown(err) {
		t.Errorf("answered %+v, %v", s, err)
	}
}

// A refusal whose session ended while it waited for the standby is visible, and
// yet may be gone after a failover: it is not replayed before it is safe.
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
		t.Errorf("replayed %+v, which no standby has", latest)
	}
	server.ReleaseCommits(t)
	if latest, err := f.Latest(t.Context(), "caller", "k"); err != nil || latest.Outcome == nil || latest.Outcome.Status != 409 {
		t.Errorf("found %+v, %v", latest, err)
	}
}
