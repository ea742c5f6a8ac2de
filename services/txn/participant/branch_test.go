package participant_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

// message is about a new transaction with a minute to go.
func message() participant.Message {
	return participant.Message{
		GID: strings.ToLower(rand.Text()), Branch: name, Branches: []string{name, "other"},
		Deadline: time.Now().Add(time.Minute),
	}
}

// take takes from an account inside the branch.
func take(id, amount int) participant.Work {
	return func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "update accounts set amount = amount - $2 where id = $1", id, amount)
		return err
	}
}

func (f fixture) prepared() int {
	f.t.Helper()
	return f.value("select count(*) from pg_prepared_xacts where database = current_database()")
}

func TestPrepareHoldsTheChangeUntilCommit(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	var gid string
	err := f.pool.QueryRow(ctx, "select gid from pg_prepared_xacts where database = current_database()").Scan(&gid)
	if want := m.GID + ":" + name; err != nil || gid != want {
		t.Errorf("prepared as %q, want %q (%v)", gid, want, err)
	}
	if f.amount() != 100 {
		t.Error("the change shows before the commit")
	}
	f.must("commit", f.Commit(ctx, m), "")
	if f.amount() != 90 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
}

func TestRepeatsChangeNothing(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	never := func(context.Context, pgx.Tx) error { t.Error("the work ran again"); return nil }
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	f.must("prepare again", f.Prepare(ctx, m, never), "")
	f.must("commit", f.Commit(ctx, m), "")
	f.must("commit again", f.Commit(ctx, m), "")
	f.must("prepare after commit", f.Prepare(ctx, m, never), "")
	if f.amount() != 90 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
	if got := f.counted("prepare", "done"); got != 3 {
		t.Errorf("counted %v prepares", got)
	}
}

func TestAbortUndoesAndRefusesALatePrepare(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	f.must("abort", f.Abort(ctx, m), "")
	f.must("abort again", f.Abort(ctx, m), "")
	f.must("late prepare", f.Prepare(ctx, m, take(1, 10)), fault.Aborted)
	f.must("commit", f.Commit(ctx, m), fault.Lost)
	if f.amount() != 100 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
}

func TestAbortBeforePrepareLeavesATombstone(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("abort", f.Abort(ctx, m), "")
	if n := f.value("select count(*) from branch_markers where state = 'aborted'"); n != 1 {
		t.Errorf("%d tombstones", n)
	}
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), fault.Aborted)
}

func TestCommitOfWhatWasNeverPreparedIsLost(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	err := f.Commit(ctx, message())
	f.must("commit", err, fault.Lost)
	if f.counted("commit", "lost") != 1 {
		t.Error("not counted")
	}
}

// A leader that was frozen or cut off, and deposed meanwhile, lacks what was prepared on the new one. It is not believed that a
// branch is lost: the standbys acknowledge nothing of it any more.
func TestADeposedLeaderLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.Start(t, pgtest.Options{})
	f := fixtureOver(t, pgtest.Pool(t, server.DSN(t, migrations)))
	server.HoldCommits(t)
	if err := f.Commit(ctx, message()); !fault.Unknown(err) {
		t.Errorf("commit where nobody acknowledges: %v, want an unknown outcome", err)
	}
	server.ReleaseCommits(t)
	f.must("commit", f.Commit(ctx, message()), fault.Lost)
}

func TestAbortOfACommittedBranchIsLost(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	f.must("commit", f.Commit(ctx, m), "")
	f.must("abort", f.Abort(ctx, m), fault.Lost)
	if f.amount() != 90 {
		t.Error("a committed change was undone")
	}
}

func TestPrepareAfterTheDeadlineIsRefused(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	m.Deadline = time.Now().Add(-time.Millisecond)
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), fault.Aborted)
	if f.prepared() != 0 || f.value("select count(*) from branch_markers") != 0 {
		t.Error("something was kept")
	}
}

func TestARefusalLeavesNothing(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	refuse := func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(take(1, 10)(ctx, tx), fault.New(fault.VersionMismatch, "2 left"))
	}
	f.must("prepare", f.Prepare(ctx, m, refuse), fault.VersionMismatch)
	f.must("a failed statement", f.Prepare(ctx, m, take(1, 1000)), fault.Internal)
	swallow := func(ctx context.Context, tx pgx.Tx) error { _ = take(1, 1000)(ctx, tx); return nil }
	f.must("an overlooked failure", f.Prepare(ctx, m, swallow), fault.Internal)
	if f.prepared() != 0 || f.value("select count(*) from branch_markers") != 0 || f.amount() != 100 {
		t.Error("something was kept")
	}
	// A refused attempt may be repeated: nothing of it is there.
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
}

func TestRowsHeldByAPreparedBranchAreContended(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	f.must("prepare", f.Prepare(ctx, message(), take(1, 10)), "")
	began := time.Now()
	f.must("second prepare", f.Prepare(ctx, message(), take(1, 10)), fault.Contended)
	if took := time.Since(began); took > 3*time.Second { // the lock_timeout of 500 ms on a busy machine
		t.Errorf("waited %s", took)
	}
	f.must("another row", f.Prepare(ctx, message(), take(2, 10)), "")
}

func TestMessagesAreChecked(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	for what, change := range map[string]func(*participant.Message){
		"empty gid":     func(m *participant.Message) { m.GID = "" },
		"quoted gid":    func(m *participant.Message) { m.GID = "a';drop table accounts;--" },
		"long gid":      func(m *participant.Message) { m.GID = strings.Repeat("a", 65) },
		"other branch":  func(m *participant.Message) { m.Branch = "other" },
		"zero deadline": func(m *participant.Message) { m.Deadline = time.Time{} },
		"old deadline":  func(m *participant.Message) { m.Deadline = time.Time{}.Add(-time.Hour) },
		"far deadline":  func(m *participant.Message) { m.Deadline = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		m := message()
		change(&m)
		f.must(what, f.Prepare(ctx, m, take(1, 1)), fault.InvalidField)
		f.must(what, f.Commit(ctx, m), fault.InvalidField)
		f.must(what, f.Abort(ctx, m), fault.InvalidField)
	}
}

func TestPruneKeepsWhatMayStillBeNeeded(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	old, young, committed, longAgo := message(), message(), message(), message()
	for _, m := range []participant.Message{committed, longAgo} {
		f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
		f.must("commit", f.Commit(ctx, m), "")
	}
	const age = "update branch_markers set created_at = created_at - $2::interval where gid = $1"
	for gid, by := range map[string]time.Duration{committed.GID: participant.BranchMarkersKept - time.Hour, longAgo.GID: participant.BranchMarkersKept + time.Hour} {
		if _, err := f.pool.Exec(ctx, age, gid, by); err != nil {
			t.Fatal(err)
		}
	}
	old.Deadline = time.Now().Add(-2 * time.Hour)
	f.must("abort", f.Abort(ctx, old), "")
	f.must("abort", f.Abort(ctx, young), "")
	if _, err := f.pool.Exec(ctx, "update branch_markers set created_at = created_at - interval '2 hours' where state = 'aborted'"); err != nil {
		t.Fatal(err)
	}
	f.must("prune", clean.New(f.pool, slog.New(slog.DiscardHandler), f.reg, participant.BranchCleaners()...).Round(ctx), "")
	if n := f.value("select count(*) from branch_markers"); n != 2 {
		t.Errorf("%d markers left", n)
	}
	f.must("commit again", f.Commit(ctx, committed), "")
}

// A gid may be made again only after everything of the first is gone, and this
// shows why: were it taken for the first, the work would not be done.
func TestAMarkerOfLongAgoIsNotTakenForThisTransaction(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	f.must("commit", f.Commit(ctx, m), "")
	f.must("prepare again", f.Prepare(ctx, m, take(1, 10)), "")
	m.Deadline = m.Deadline.Add(time.Second)
	f.must("another of the same name", f.Prepare(ctx, m, take(1, 10)), fault.Aborted)
	if f.amount() != 90 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
}

// takeWhole is take for PrepareWhole: it fails where there is not enough.
func takeWhole(id, amount int) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("update accounts set amount = amount - $2 where id = $1", id, amount)
	return b
}

func never(t *testing.T) participant.Work {
	t.Helper()
	return func(context.Context, pgx.Tx) error { t.Error("it was tried step by step"); return nil }
}

func TestAWholePrepareIsAPrepare(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	f.must("prepare", f.PrepareWhole(ctx, m, takeWhole(1, 10), never(t)), "")
	f.must("prepare again", f.PrepareWhole(ctx, m, takeWhole(1, 10), never(t)), "")
	f.must("prepare again, step by step", f.Prepare(ctx, m, never(t)), "")
	if f.prepared() != 1 || f.amount() != 100 {
		t.Errorf("prepared %d, amount %d", f.prepared(), f.amount())
	}
	f.must("commit", f.Commit(ctx, m), "")
	f.must("prepare after commit", f.PrepareWhole(ctx, m, takeWhole(1, 10), never(t)), "")
	if f.prepared() != 0 || f.amount() != 90 {
		t.Errorf("prepared %d, amount %d", f.prepared(), f.amount())
	}
	aborted, late := message(), message()
	f.must("abort", f.Abort(ctx, aborted), "")
	f.must("late prepare", f.PrepareWhole(ctx, aborted, takeWhole(1, 10), never(t)), fault.Aborted)
	late.Deadline = time.Now().Add(-time.Millisecond)
	f.must("prepare past the deadline", f.PrepareWhole(ctx, late, takeWhole(1, 10), never(t)), fault.Aborted)
	if n := f.value("select count(*) from branch_markers"); n != 2 || f.prepared() != 0 || f.amount() != 90 {
		t.Errorf("%d markers, prepared %d, amount %d", n, f.prepared(), f.amount())
	}
}

// What fails at once is tried step by step, and that says why.
func TestWhatStandsInTheWayIsFoundOutStepByStep(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	refuse := func(context.Context, pgx.Tx) error { return fault.New(fault.VersionMismatch, "100 left") }
	f.must("too much", f.PrepareWhole(ctx, m, takeWhole(1, 101), refuse), fault.VersionMismatch)
	if f.prepared() != 0 || f.value("select count(*) from branch_markers") != 0 {
		t.Error("something was kept")
	}
	f.must("now there is enough", f.PrepareWhole(ctx, m, takeWhole(1, 101), take(1, 100)), "")
	f.must("commit", f.Commit(ctx, m), "")
	if f.amount() != 0 {
		t.Errorf("amount %d", f.amount())
	}
}

func TestAWholePrepareMeetsLockedRows(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	f.must("prepare", f.PrepareWhole(ctx, message(), takeWhole(1, 10), never(t)), "")
	f.must("another", f.PrepareWhole(ctx, message(), takeWhole(1, 10), never(t)), fault.Contended)
	f.must("another row", f.PrepareWhole(ctx, message(), takeWhole(2, 10), never(t)), "")
	if f.prepared() != 2 {
		t.Errorf("prepared %d", f.prepared())
	}
}

// Of many calls about one branch, one prepares it; all are answered that it is
// prepared.
func TestManyWholePreparesOfOneBranch(t *testing.T) {
	f, ctx, m := newFixture(t), context.Background(), message()
	var calling sync.WaitGroup
	for i := range 8 {
		calling.Go(func() {
			var err error
			if i%2 == 0 {
				err = f.PrepareWhole(ctx, m, takeWhole(1, 10), take(1, 10))
			} else {
				err = f.Prepare(ctx, m, take(1, 10))
			}
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	calling.Wait()
	f.must("commit", f.Commit(ctx, m), "")
	if f.prepared() != 0 || f.amount() != 90 {
		t.Errorf("prepared %d, amount %d", f.prepared(), f.amount())
	}
}

// observer is called after commits, and returns err.
type observer struct {
	f     fixture
	calls []string
	err   error
}

func (e *observer) committed(ctx context.Context, gid string) error {
	if e.f.amount() == 100 {
		e.f.t.Error("called before the commit")
	}
	if err := ctx.Err(); err != nil {
		e.f.t.Errorf("called with a context that has ended: %v", err)
	}
	e.calls = append(e.calls, gid)
	return e.err
}

// observed is a participant whose commits are observed.
func observed(t *testing.T) (fixture, *observer) {
	t.Helper()
	f := newFixture(t)
	e := &observer{f: f}
	f.Participant = participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.OnCommit(e.committed))
	return f, e
}

func TestOnCommitIsCalledBeforeACommitIsAnswered(t *testing.T) {
	f, e := observed(t)
	ctx, m, other := context.Background(), message(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	if len(e.calls) > 0 {
		t.Error("called for a branch that is only prepared")
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	// The client has gone away, the database is not to be reached, and then is.
	e.err = errors.New("no answer")
	if err := f.Commit(gone, m); !fault.Unknown(err) {
		t.Errorf("commit: %v", err)
	}
	e.err = fault.New(fault.NotFound, "a refusal by the callback is not the branch's")
	if err := f.Commit(ctx, m); !fault.Unknown(err) {
		t.Errorf("commit: %v", err)
	}
	e.err = nil
	f.must("commit again", f.Commit(ctx, m), "")
	f.must("prepare another", f.Prepare(ctx, other, take(1, 10)), "")
	f.must("abort", f.Abort(ctx, other), "")
	f.must("commit what is aborted", f.Commit(ctx, other), fault.Lost)
	if want := []string{m.GID, m.GID, m.GID}; !slices.Equal(e.calls, want) {
		t.Errorf("called for %v, want %v", e.calls, want)
	}
}

func TestOnCommitIsCalledForRecoveredCommitsToo(t *testing.T) {
	f, e := observed(t)
	m := f.doubtful(1)[0]
	o := &coordinator{says: map[string]participant.Verdict{m.GID: participant.VerdictCommit}}
	f.must("scan", participant.NewRecovery(f.Participant, o, nil).Scan(context.Background()), "")
	if !slices.Equal(e.calls, []string{m.GID}) {
		t.Errorf("called for %v", e.calls)
	}
}

func TestPreparesShareSlotsWithOtherUsersOfTheirPool(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	slots := pg.NewSlots(f.pool)
	p := participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.Sharing(slots))
	var releases []func()
	for range f.pool.Config().MaxConns * 3 / 4 {
		_, release, err := slots.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	m := message()
	f.must("prepare", p.Prepare(short, m, take(1, 10)), fault.DeadlineExceeded)
	for _, release := range releases {
		release()
	}
	f.must("prepare", p.Prepare(ctx, m, take(1, 10)), "")
	f.must("abort", p.Abort(ctx, m), "")
}
