package txntest

import (
	"fmt"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

func finishing(f fixture) {
	ctx := f.t.Context()
	committed, aborted, lost, running := f.claim("committed"), f.claim("aborted"), f.claim("lost"), f.claim("running")
	f.decide(committed.GID, commit)
	f.decide(aborted.GID, abandon)
	f.decide(lost.GID, commit)
	if err := f.Annotate(ctx, committed.GID, twophase.Notes{"left": {LastError: "unavailable"}}); err != nil {
		f.t.Fatal(err)
	}
	err := f.Finish(ctx, []twophase.Finished{
		{GID: committed.GID, State: twophase.Committed},
		{GID: aborted.GID, State: twophase.Aborted},
		{GID: lost.GID, State: twophase.Heuristic, Notes: twophase.Notes{"left": {State: "lost"}}},
		{GID: running.GID, State: twophase.Committed}, // makes no sense, and does nothing
	})
	if err != nil {
		f.t.Fatal(err)
	}
	want := map[string]twophase.State{
		committed.GID: twophase.Committed, aborted.GID: twophase.Aborted, lost.GID: twophase.Heuristic, running.GID: twophase.Preparing,
	}
	for gid, state := range want {
		if tx := f.read(gid); tx.State != state || tx.FinishedAt.IsZero() != (state == twophase.Preparing) {
			f.t.Errorf("%+v; want %s", tx, state)
		}
	}
	if tx := f.read(lost.GID); tx.BranchState("left") != "lost" || !tx.Commits {
		f.t.Errorf("the lost one is %+v", tx)
	}
	if tx := f.read(committed.GID); tx.Notes["left"].LastError != "unavailable" {
		f.t.Errorf("notes %v", tx.Notes)
	}
	if l := f.latest("committed"); l.Outcome == nil || string(l.Outcome.Body) != string(placed.Body) || l.Outcome.Status != 201 {
		f.t.Errorf("outcome %+v", l)
	}
	if _, err := f.Transaction(ctx, "nobody"); fault.KindOf(err) != fault.TransactionNotFound {
		f.t.Errorf("found nobody: %v", err)
	}
}

func listing(f fixture) {
	for i := range 7 {
		tx := f.claim(fmt.Sprint("k", i))
		if i%2 == 0 {
			f.decide(tx.GID, abandon)
		}
	}
	seen := map[string]bool{}
	filter := twophase.Filter{Limit: 3}
	for page := 0; ; page++ {
		found, err := f.Transactions(f.t.Context(), filter)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, tx := range found {
			if seen[tx.GID] {
				f.t.Errorf("%s was shown twice", tx.GID)
			}
			seen[tx.GID] = true
			filter.After = &twophase.Position{CreatedAt: tx.CreatedAt, GID: tx.GID}
		}
		f.claim(fmt.Sprint("meanwhile", page))
		if len(found) < filter.Limit {
			break
		}
	}
	if len(seen) != 7 {
		f.t.Errorf("saw %d of 7", len(seen))
	}
	aborted, err := f.Transactions(f.t.Context(), twophase.Filter{State: twophase.Aborted, Limit: 10})
	if err != nil || len(aborted) != 4 {
		f.t.Errorf("%d aborted, %v", len(aborted), err)
	}
}

func freeKeys(f fixture) {
	tx := f.claim("k")
	f.decide(tx.GID, refuse)
	if f.latest("k").Expired {
		f.t.Error("free at once")
	}
	f.Age(tx.GID, 25*time.Hour)
	if !f.latest("k").Expired {
		f.t.Error("not free after a day")
	}
}

func counting(f fixture) {
	committing, aborted, old := f.claim("committing"), f.claim("aborted"), f.claim("old")
	f.decide(committing.GID, commit)
	f.decide(aborted.GID, abandon)
	f.decide(f.claim("ended").GID, unsent)
	f.claim("preparing")
	f.Age(old.GID, time.Hour)
	for _, lost := range []string{"lost", "lost long ago"} {
		tx := f.claim(lost)
		f.decide(tx.GID, commit)
		f.finish(tx.GID, twophase.Heuristic)
		if lost != "lost" {
			f.Age(tx.GID, 25*time.Hour)
		}
	}
	counts, err := f.Unfinished(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for state, want := range map[twophase.State]int{
		twophase.Committing: 1, twophase.Aborted: 1, twophase.Preparing: 2, twophase.Heuristic: 1, twophase.Committed: 0,
	} {
		if counts[state].Count != want {
			f.t.Errorf("%d are %s, want %d", counts[state].Count, state, want)
		}
	}
	if got := counts[twophase.Preparing].Oldest; got < time.Hour || got > 2*time.Hour {
		f.t.Errorf("the oldest is %v old", got)
	}
}
