package participant_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

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
