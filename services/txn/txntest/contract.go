package txntest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

// Subject is a store under test, and the ways to make time pass for one row.
type Subject struct {
	twophase.Store
	Lapse  func(gid string)                     // ends its lease, as the death of its owner would
	Expire func(gid string)                     // puts its deadline into the past
	Age    func(gid string, past time.Duration) // claimed, ended and leased so much earlier
}

// Contract runs every store that open makes, one for each test, through what
// twophase.Store promises.
func Contract(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for name, test := range map[string]func(fixture){
		"an attempt is claimed once":              claimedOnce,
		"attempts leave no gaps":                  noGaps,
		"the first decision stands":               firstStands,
		"a commit comes in time or not at all":    commitInTime,
		"concurrent decisions agree":              decisionsAgree,
		"presuming returns what stands":           presuming,
		"only lapsed attempts are taken over":     takingOver,
		"leases":                                  leases,
		"finishing":                               finishing,
		"listing shows each attempt once":         listing,
		"keys are free after a day":               freeKeys,
		"what is not finished is counted, by age": counting,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(fixture{open(t), t})
		})
	}
}

type fixture struct {
	Subject
	t *testing.T
}

func claimOf(key string) twophase.Claim {
	return twophase.Claim{
		Kind: "transfer", Caller: "caller", Key: key, RequestHash: []byte{1},
		Branches: []string{"left", "right"}, Payload: []byte(`{"for":"` + key + `"}`),
	}
}

// payloadOf reads what claimOf wrote; stores may write the same JSON otherwise.
func payloadOf(tx twophase.Transaction) string {
	var payload struct{ For string }
	_ = json.Unmarshal(tx.Payload, &payload)
	return payload.For
}

// attempt claims attempt n.
func (f fixture) attempt(key string, n int) twophase.Transaction {
	f.t.Helper()
	tx, mine, err := f.Claim(f.t.Context(), claimOf(key), n, "a")
	if err != nil || !mine {
		f.t.Fatalf("claim %s: %v, %v", key, mine, err)
	}
	return tx
}

func (f fixture) claim(key string) twophase.Transaction {
	f.t.Helper()
	return f.attempt(key, 1)
}

func (f fixture) decide(gid string, d twophase.Decision) (twophase.State, bool) {
	f.t.Helper()
	state, bound, err := f.Decide(f.t.Context(), gid, "a", d)
	if err != nil {
		f.t.Fatal(err)
	}
	return state, bound
}

func (f fixture) finish(gid string, state twophase.State) {
	f.t.Helper()
	if err := f.Finish(f.t.Context(), []twophase.Finished{{GID: gid, State: state}}); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) latest(key string) *twophase.Latest {
	f.t.Helper()
	latest, err := f.Latest(f.t.Context(), "caller", key)
	if err != nil {
		f.t.Fatal(err)
	}
	return latest
}

func (f fixture) read(gid string) twophase.Transaction {
	f.t.Helper()
	tx, err := f.Transaction(f.t.Context(), gid)
	if err != nil {
		f.t.Fatal(err)
	}
	return tx
}

var (
	placed  = &twophase.Outcome{Status: 201, Body: []byte(`{"id":"o"}`)}
	commit  = twophase.Decision{State: twophase.Committing, Outcome: placed}
	abandon = twophase.Decision{State: twophase.Aborted}
	unsent  = twophase.Decision{State: twophase.Aborted, Unsent: true}
	refuse  = twophase.Decision{State: twophase.Aborted, Outcome: &twophase.Outcome{Status: 409, Body: []byte(`{"code":"conflict"}`)}}
)

func claimedOnce(f fixture) {
	tx := f.claim("k")
	if tx.GID != twophase.GID("caller", "k", 1) || tx.State != twophase.Preparing || tx.Deadline.Sub(tx.CreatedAt) < 2*time.Second {
		f.t.Errorf("claimed %+v", tx)
	}
	if _, mine, err := f.Claim(f.t.Context(), claimOf("k"), 1, "b"); mine || err != nil {
		f.t.Errorf("claimed twice: %v, %v", mine, err)
	}
	if l := f.latest("k"); l.GID != tx.GID || l.Lapsed || l.Expired || l.Outcome != nil || l.RequestHash[0] != 1 || payloadOf(l.Transaction) != "k" {
		f.t.Errorf("found %+v", l)
	}
	if l := f.latest("other"); l != nil {
		f.t.Errorf("found %+v", l)
	}
	var claiming sync.WaitGroup
	got := make([]bool, 6)
	for i := range got {
		claiming.Go(func() { _, got[i], _ = f.Claim(f.t.Context(), claimOf("crowd"), 1, strconv.Itoa(i)) })
	}
	claiming.Wait()
	owners := 0
	for _, mine := range got {
		if mine {
			owners++
		}
	}
	if owners != 1 {
		f.t.Errorf("%d claimed one attempt", owners)
	}
}

func noGaps(f fixture) {
	if _, mine, err := f.Claim(f.t.Context(), claimOf("k"), 2, "a"); mine || err != nil {
		f.t.Errorf("a second attempt without a first: %v, %v", mine, err)
	}
	first := f.claim("k")
	if _, mine, err := f.Claim(f.t.Context(), claimOf("k"), 2, "a"); mine || err != nil {
		f.t.Errorf("a second attempt beside the first: %v, %v", mine, err)
	}
	f.decide(first.GID, unsent)
	second := f.attempt("k", 2)
	if l := f.latest("k"); l.GID != second.GID || l.Attempt != 2 {
		f.t.Errorf("the latest is %+v", l)
	}
	f.decide(second.GID, commit)
	f.Age(second.GID, 25*time.Hour)
	if _, mine, err := f.Claim(f.t.Context(), claimOf("k"), 3, "a"); mine || err != nil {
		f.t.Errorf("a third beside a commit that is not carried out: %v, %v", mine, err)
	}
	f.finish(second.GID, twophase.Committed)
	f.attempt("k", 3)
}

func firstStands(f fixture) {
	cases := []struct {
		name          string
		first, second twophase.Decision
		want          twophase.State
		bound         bool
	}{
		{"commit then abort", commit, abandon, twophase.Committing, true},
		{"commit then commit: an answer was lost", commit, commit, twophase.Committing, true},
		{"abort then commit", abandon, commit, twophase.Aborted, false},
		{"refusal then commit", refuse, commit, twophase.Aborted, true},
		{"refusal then refusal", refuse, refuse, twophase.Aborted, true},
	}
	for i, c := range cases {
		tx := f.claim(fmt.Sprint("k", i))
		f.decide(tx.GID, c.first)
		if state, bound := f.decide(tx.GID, c.second); state != c.want || bound != c.bound {
			f.t.Errorf("%s: %s, %v", c.name, state, bound)
		}
		if got := f.read(tx.GID); got.State != c.want || got.Commits != (c.want == twophase.Committing) || got.DecidedAt.IsZero() {
			f.t.Errorf("%s: %+v", c.name, got)
		}
	}
	if _, _, err := f.Decide(f.t.Context(), "nobody", "a", commit); fault.KindOf(err) != fault.TransactionNotFound {
		f.t.Errorf("decided about nothing: %v", err)
	}
	if _, _, err := f.Decide(f.t.Context(), f.claim("mute").GID, "a", twophase.Decision{State: twophase.Committing}); err == nil {
		f.t.Error("a commit without an outcome was written")
	}
}

func commitInTime(f fixture) {
	tx := f.claim("k")
	f.Expire(tx.GID)
	if state, bound := f.decide(tx.GID, commit); state != twophase.Aborted || bound {
		f.t.Errorf("late commit: %s, %v", state, bound)
	}
}

func decisionsAgree(f fixture) {
	for round := range 20 {
		tx := f.claim(fmt.Sprint("k", round))
		states := make([]twophase.State, 6)
		var deciding sync.WaitGroup
		for i := range states {
			deciding.Go(func() {
				d := commit
				if i%2 == 1 {
					d = abandon
				}
				states[i], _, _ = f.Decide(f.t.Context(), tx.GID, "a", d)
			})
		}
		deciding.Wait()
		for _, s := range states {
			if s != states[0] || s == "" {
				f.t.Fatalf("they read %v", states)
			}
		}
	}
}

func presuming(f fixture) {
	live, lapsed, late, committing, refused := f.claim("live"), f.claim("lapsed"), f.claim("late"), f.claim("committing"), f.claim("refused")
	f.Lapse(lapsed.GID)
	f.Expire(late.GID)
	f.decide(committing.GID, commit)
	f.Lapse(committing.GID)
	f.decide(refused.GID, refuse)
	committed := f.claim("committed")
	f.decide(committed.GID, commit)
	f.finish(committed.GID, twophase.Committed)
	for gid, want := range map[string]twophase.Standing{
		live.GID: {State: twophase.Preparing}, lapsed.GID: {State: twophase.Aborted}, late.GID: {State: twophase.Aborted},
		committing.GID: {State: twophase.Committing, Commits: true}, committed.GID: {State: twophase.Committed, Commits: true},
		refused.GID: {State: twophase.Aborted},
	} {
		for range 2 {
			got, err := f.Presume(f.t.Context(), gid, "left", "b")
			if err != nil || got.State != want.State || got.Commits != want.Commits || len(got.Branches) != 2 || got.Deadline.IsZero() {
				f.t.Errorf("presumed about %+v: %+v, %v", f.read(gid), got, err)
			}
		}
	}
	if state, _ := f.decide(lapsed.GID, commit); state != twophase.Aborted {
		f.t.Errorf("after the presumed abort: %s", state)
	}
	nobodys := twophase.GID("caller", "nobody's", 1)
	got, err := f.Presume(f.t.Context(), nobodys, "left", "b")
	if err != nil || got.State != twophase.Aborted || got.Commits || len(got.Branches) != 1 {
		f.t.Errorf("presumed about an unknown gid: %+v, %v", got, err)
	}
	if _, mine, err := f.Claim(f.t.Context(), claimOf("nobody's"), 1, "a"); mine || err != nil {
		f.t.Errorf("what is presumed aborted was claimed: %v, %v", mine, err)
	}
	if l := f.latest("nobody's"); l != nil {
		f.t.Errorf("it belongs to a key: %+v", l)
	}
}

func takingOver(f fixture) {
	undecided, decided, live, finished := f.claim("undecided"), f.claim("decided"), f.claim("live"), f.claim("finished")
	f.decide(decided.GID, commit)
	f.decide(finished.GID, unsent)
	for _, tx := range []twophase.Transaction{undecided, decided, finished} {
		f.Lapse(tx.GID)
	}
	take := func(owner, gid string) []twophase.Transaction {
		f.t.Helper()
		taken, err := f.TakeOver(f.t.Context(), owner, gid, 10)
		if err != nil {
			f.t.Fatal(err)
		}
		return taken
	}
	if got := take("b", live.GID); len(got) != 0 {
		f.t.Errorf("took a live one: %v", got)
	}
	states := map[string]twophase.State{}
	got := take("b", "")
	for _, tx := range got {
		states[tx.GID] = tx.State
		if tx.Owner != "b" || len(tx.Branches) != 2 || payloadOf(tx) == "" || tx.DecidedAt.IsZero() {
			f.t.Errorf("took over %+v", tx)
		}
	}
	if len(got) != 2 || states[undecided.GID] != twophase.Aborted || states[decided.GID] != twophase.Committing {
		f.t.Errorf("took over %v", states)
	}
	if again := take("c", ""); len(again) != 0 {
		f.t.Errorf("taken over twice: %v", again)
	}
	// The first owner comes back and finds its attempt aborted.
	if state, bound := f.decide(undecided.GID, commit); state != twophase.Aborted || bound {
		f.t.Errorf("the old owner decided %s, %v", state, bound)
	}
}

func leases(f fixture) {
	ctx := f.t.Context()
	tx := f.claim("k")
	lapsed := func() bool { return f.latest("k").Lapsed }
	f.Lapse(tx.GID)
	if !lapsed() {
		f.t.Fatal("the lease did not lapse")
	}
	if err := f.Renew(ctx, "somebody else", []string{tx.GID}); err != nil || !lapsed() {
		f.t.Errorf("renewed for another: %v", err)
	}
	if err := f.Renew(ctx, "a", []string{tx.GID}); err != nil || lapsed() {
		f.t.Errorf("not renewed: %v", err)
	}
	if err := f.Release(ctx, "somebody else", []string{tx.GID}); err != nil || lapsed() {
		f.t.Errorf("released for another: %v", err)
	}
	if err := f.Release(ctx, "a", []string{tx.GID}); err != nil {
		f.t.Error(err)
	}
	if taken, err := f.TakeOver(context.WithoutCancel(ctx), "b", "", 10); err != nil || len(taken) != 1 {
		f.t.Errorf("not released: %v, %v", taken, err)
	}
}
