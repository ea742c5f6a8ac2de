package twophase

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// recoverLapsed takes over attempts whose owner's lease has lapsed, and drives them
// to their end. Every coordinator does so; the store gives each row to one.
func (e *Engine) recoverLapsed(ctx context.Context) {
	const countEvery = 10 // rounds
	failing := false
	for round := 0; wait.For(ctx, e.settings.TakeOverEvery); round++ {
		err := e.takeOver(ctx, "")
		if err == nil && round%countEvery == 0 {
			err = e.countUnfinished(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "recovery cannot read the transactions; trying again", "error", err)
		}
		failing = err != nil
	}
}

// takeOver claims lapsed attempts, or only gid's, and hands them to the
// finisher.
func (e *Engine) takeOver(ctx context.Context, gid string) error {
	if gid == "" && e.leases.count() >= e.settings.TakeOverLimit {
		return nil
	}
	claimed, err := e.lapsed(ctx, gid)
	if err != nil {
		return err
	}
	for _, tx := range claimed {
		if e.leases.holds(tx.GID) {
			continue // it is in hand here and stalled; others take it over once it lapses again
		}
		e.Log.WarnContext(ctx, "taking over a transaction", "gid", tx.GID, "state", tx.State, "kind", tx.Kind)
		e.Metrics.takenOver.Inc()
		e.leases.hold(tx.GID)
		e.finisher.finish(ctx, tx)
	}
	return nil
}

// lapsed claims lapsed attempts. Those claimed by a call whose answer was lost
// lapse again.
func (e *Engine) lapsed(ctx context.Context, gid string) ([]Transaction, error) {
	ctx, cancel := context.WithTimeout(ctx, e.settings.StoreTimeout)
	defer cancel()
	return e.Store.TakeOver(ctx, e.settings.Owner, gid, e.settings.TakeOverBatch)
}

func (e *Engine) countUnfinished(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.settings.StoreTimeout)
	defer cancel()
	counts, err := e.Store.Unfinished(ctx)
	if err == nil {
		e.Metrics.showUnfinished(counts)
	}
	return err
}

// renew extends the leases of attempts in hand that make progress.
func (e *Engine) renew(ctx context.Context) {
	for wait.For(ctx, e.settings.RenewEvery) {
		e.Metrics.inHand.Set(float64(e.leases.count()))
		gids, stalled := e.leases.due(e.settings.RenewEvery/2, e.settings.Stall)
		e.Metrics.stalled.Set(float64(stalled))
		if len(gids) == 0 {
			continue
		}
		if err := e.renewOnce(ctx, gids); err != nil && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "leases not renewed", "count", len(gids), "error", err)
		}
	}
}

func (e *Engine) renewOnce(ctx context.Context, gids []string) error {
	ctx, cancel := context.WithTimeout(ctx, e.settings.Lease/2)
	defer cancel()
	return e.Store.Renew(ctx, e.settings.Owner, gids)
}

// leases are the attempts that this instance has in hand. One statement renews
// them; most attempts end before they need it. An attempt without progress is not
// renewed: its call may hang, while another instance, on connections of its own,
// may succeed.
type leases struct {
	mu   sync.Mutex
	held map[string]lease
}

type lease struct {
	since    time.Time // when it was claimed or taken over
	progress time.Time // the last answer of the store, or answer of a participant that was not unknown
}

func newLeases() *leases { return &leases{held: map[string]lease{}} }

func (l *leases) hold(gid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.held[gid] = lease{since: now, progress: now}
}

// progress notes that a call about an attempt was answered.
func (l *leases) progress(gid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one, ok := l.held[gid]; ok {
		one.progress = time.Now()
		l.held[gid] = one
	}
}

func (l *leases) holds(gid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.held[gid]
	return ok
}

func (l *leases) drop(gids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, gid := range gids {
		delete(l.held, gid)
	}
}

// due returns the attempts in hand for at least age, and how many of those are
// left out because they have made no progress for stall.
func (l *leases) due(age, stall time.Duration) (gids []string, stalled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for gid, one := range l.held {
		switch {
		case time.Since(one.since) < age:
		case time.Since(one.progress) >= stall:
			stalled++
		default:
			gids = append(gids, gid)
		}
	}
	return gids, stalled
}

// all returns every attempt in hand.
func (l *leases) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.held))
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// Verdict is the answer to a participant's query about a branch that it holds
// prepared.
type Verdict string

// The verdicts.
const (
	VerdictCommit  Verdict = "commit"
	VerdictAbort   Verdict = "abort"
	VerdictPending Verdict = "pending" // not decided, and its owner is alive: query again
)

// Standing is what the store holds about a gid after Store.Presume. No commit on
// record means abort, unless the owner may still decide to commit: its lease is
// live and the deadline has not passed. The abort is written, so that an owner that
// resumes finds it.
type Standing struct {
	State    State
	Commits  bool // the decision is to commit
	Branches []string
	Deadline time.Time
}

// Verdict is what a participant is told about its branch. A branch that a
// committed transaction does not have is aborted.
func (s Standing) Verdict(branch string) Verdict {
	switch {
	case !s.State.Decided():
		return VerdictPending
	case s.Commits && slices.Contains(s.Branches, branch):
		return VerdictCommit
	}
	return VerdictAbort
}

// Answer is a verdict with what a message about the branch needs. The participant
// knows only the gid: the rest is inside the prepared transaction.
type Answer struct {
	Verdict  Verdict
	Branches []string
	Deadline time.Time
}

var validBranch = regexp.MustCompile(`^[a-z]{1,32}$`)

// QueryDecision tells a participant what was decided about its branch of gid.
func (e *Engine) QueryDecision(ctx context.Context, gid, branch string) (Answer, error) {
	var problems []fault.Field
	if !IsGID(gid) {
		problems = append(problems, fault.Field{Field: "gid", Code: "pattern", Detail: "1 to 64 of a-z and 0-9"})
	}
	if !validBranch.MatchString(branch) {
		problems = append(problems, fault.Field{Field: "branch", Code: "pattern", Detail: "1 to 32 of a-z"})
	}
	if problems != nil {
		return Answer{}, fault.Invalid(problems...)
	}
	standing, err := e.Store.Presume(ctx, gid, branch, e.settings.Owner)
	if err != nil {
		return Answer{}, fault.Wrap("answer a participant", err)
	}
	verdict := standing.Verdict(branch)
	e.Metrics.queries.WithLabelValues(string(verdict)).Inc()
	if verdict != VerdictPending {
		e.Log.WarnContext(ctx, "a participant queried a decision", "gid", gid, "branch", branch, "answer", verdict)
	}
	return Answer{Verdict: verdict, Branches: standing.Branches, Deadline: standing.Deadline}, nil
}
