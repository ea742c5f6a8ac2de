package participant_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
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
	// A refused attempt may be asked again: nothing of it is there.
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
