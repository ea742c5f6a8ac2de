package participant_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

const stepName = "take_some"

// key is a step of a new saga.
func key() participant.Key {
	return participant.Key{Saga: uuid.Must(uuid.NewV7()).String(), Step: stepName}
}

type taken struct {
	Amount int `json:"amount"`
}

// takeStep takes from account 1.
func takeStep(k participant.Key, amount int) participant.StepWork {
	return func(ctx context.Context, tx pgx.Tx) (any, error) { return taken{amount}, move(ctx, tx, k, -amount) }
}

// giveBack gives back what the result says has been taken.
func giveBack(k participant.Key) participant.Reversal {
	return func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		var was taken
		if err := json.Unmarshal(result, &was); err != nil {
			return err
		}
		return move(ctx, tx, k, was.Amount)
	}
}

func move(ctx context.Context, tx pgx.Tx, k participant.Key, delta int) error {
	if _, err := tx.Exec(ctx, "update accounts set amount = amount + $1 where id = 1", delta); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "insert into moves values ($1, $2)", k.Saga, delta)
	return err
}

// never is work, and neverBack a reversal, that must not run.
func (f fixture) never(context.Context, pgx.Tx) (any, error) {
	f.t.Error("the work ran")
	return nil, nil
}

func (f fixture) neverBack(context.Context, pgx.Tx, json.RawMessage) error {
	f.t.Error("the reversal ran")
	return nil
}

// has checks the account, which its moves must explain, and the number of markers in a state.
func (f fixture) has(amount int, state string, markers int) {
	f.t.Helper()
	if got := f.amount(); got != amount {
		f.t.Errorf("the account has %d, want %d", got, amount)
	}
	if moved := f.value("select coalesce(sum(delta), 0) from moves"); moved != amount-100 {
		f.t.Errorf("%d have moved, the account says %d", moved, amount-100)
	}
	if n := f.value("select count(*) from step_markers where state = $1", state); n != markers {
		f.t.Errorf("%d markers are %s, want %d", n, state, markers)
	}
}

func TestAStepIsDoneOnceAndItsResultStays(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	for i, work := range []participant.StepWork{takeStep(k, 10), f.never, f.never} {
		result, err := f.Do(ctx, k, work)
		f.must("do", err, "")
		var got taken
		if err := json.Unmarshal(result, &got); err != nil || got.Amount != 10 {
			t.Errorf("call %d: result %s, %v", i, result, err)
		}
	}
	f.has(90, "done", 1)
	if f.counted("do", "done") != 3 {
		t.Error("not counted")
	}
	other := participant.Key{Saga: k.Saga, Step: "take_more"}
	_, err := f.Do(ctx, other, takeStep(other, 5))
	f.must("another step of the saga", err, "")
	f.has(85, "done", 2)
}

func TestAStepWithoutAResultStaysWithout(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	nothing := func(ctx context.Context, tx pgx.Tx) (any, error) { return nil, move(ctx, tx, k, -1) }
	for _, work := range []participant.StepWork{nothing, f.never} {
		result, err := f.Do(ctx, k, work)
		f.must("do", err, "")
		if result != nil {
			t.Errorf("result %s", result)
		}
	}
	var given json.RawMessage
	f.must("undo", f.Undo(ctx, k, func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		given = result
		return move(ctx, tx, k, 1)
	}), "")
	if given != nil {
		t.Errorf("the reversal got %s", given)
	}
	f.has(100, "undone", 1)
}

func TestARefusalIsTheOutcomeForGood(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	refusal := &fault.Error{
		Kind: fault.VersionMismatch, Message: "not enough", Err: errors.New("not for clients"),
		Fields:  []fault.Field{{Field: "lines[0]", Code: "short", Detail: "2 left"}},
		Details: map[string]any{"things": []map[string]any{{"thingId": int64(9007199254740993), "available": 2}}},
	}
	refuse := func(ctx context.Context, tx pgx.Tx) (any, error) {
		return nil, errors.Join(move(ctx, tx, k, -10), fault.Wrap("take", refusal))
	}
	for i, work := range []participant.StepWork{refuse, f.never, f.never} {
		_, err := f.Do(ctx, k, work)
		f.must("do", err, fault.VersionMismatch)
		got := fault.As(err)
		if got.Message != refusal.Message || fmt.Sprint(got.Fields) != fmt.Sprint(refusal.Fields) ||
			fmt.Sprint(got.Details) != "map[things:[map[available:2 thingId:9007199254740993]]]" {
			t.Errorf("call %d: got %+v", i, got)
		}
	}
	f.has(100, "refused", 1)
	if f.counted("do", "refused") != 3 {
		t.Error("not counted")
	}
}

func TestOnlyDecisionsAreKept(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	for _, failure := range []error{
		fault.New(fault.Contended, ""), fault.New(fault.OutcomeUnknown, ""), fault.New(fault.Unavailable, ""),
		errors.New("broken"), context.DeadlineExceeded,
	} {
		_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
			return nil, errors.Join(move(ctx, tx, k, -10), failure)
		})
		f.must(failure.Error(), err, fault.KindOf(failure))
	}
	if n := f.value("select count(*) from step_markers"); n != 0 {
		t.Errorf("%d markers", n)
	}
	if f.counted("do", "unknown") != 5 || f.counted("do", "refused") != 0 {
		t.Error("wrongly counted")
	}
	_, err := f.Do(ctx, k, takeStep(k, 10))
	f.must("repeated", err, "")
	f.has(90, "done", 1)
}

func TestAFailureThatTheWorkOverlooksUndoesIt(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	for _, result := range []any{nil, taken{1000}, make(chan int)} {
		_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
			_ = move(ctx, tx, k, -1000)
			return result, nil
		})
		f.must("do", err, fault.Internal)
	}
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		return make(chan int), move(ctx, tx, k, -10)
	})
	f.must("a result without JSON", err, fault.Internal)
	f.has(100, "done", 0)
}

func TestAnUndoReversesOnceAndRefusesALateDo(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	_, err := f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
	f.must("undo", f.Undo(ctx, k, giveBack(k)), "")
	f.must("undo again", f.Undo(ctx, k, f.neverBack), "")
	_, err = f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	f.has(100, "undone", 1)
	if n := f.value("select count(*) from moves"); n != 2 {
		t.Errorf("%d moves", n)
	}
}

func TestAnUndoOfWhatNeverWasLeavesATombstone(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	for range 2 {
		f.must("undo", f.Undo(ctx, k, f.neverBack), "")
	}
	_, err := f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	f.has(100, "undone", 1)
}

func TestAnUndoOfARefusedStepReversesNothing(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	_, err := f.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return nil, fault.New(fault.VersionMismatch, "") })
	f.must("do", err, fault.VersionMismatch)
	f.must("undo", f.Undo(ctx, k, f.neverBack), "")
	_, err = f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	f.has(100, "undone", 1)
}

func TestAnUndoWithoutAReversalLeavesATombstone(t *testing.T) {
	f, ctx, done, unseen := newFixture(t), context.Background(), key(), key()
	_, err := f.Do(ctx, done, takeStep(done, 10))
	f.must("do", err, "")
	for _, k := range []participant.Key{done, unseen} {
		f.must("undo", f.Undo(ctx, k, nil), "")
		_, err = f.Do(ctx, k, f.never)
		f.must("late do", err, fault.Aborted)
	}
	f.has(90, "undone", 2)
}

func TestAReversalThatFailsLeavesTheStepDone(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	_, err := f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
	fail := func(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
		return errors.Join(giveBack(k)(ctx, tx, result), fault.New(fault.InvalidField, "no"))
	}
	f.must("undo", f.Undo(ctx, k, fail), fault.InvalidField)
	overlook := func(ctx context.Context, tx pgx.Tx, _ json.RawMessage) error {
		_ = move(ctx, tx, k, -1000)
		return nil
	}
	f.must("overlooked", f.Undo(ctx, k, overlook), fault.Internal)
	f.has(90, "done", 1)
	f.must("undo again", f.Undo(ctx, k, giveBack(k)), "")
	f.has(100, "undone", 1)
}

func TestTheTransactionIsItsParticipants(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	_, err := f.Do(ctx, k, func(ctx context.Context, tx pgx.Tx) (any, error) {
		_, begun := tx.Begin(ctx)
		for _, err := range []error{begun, tx.Commit(ctx), tx.Rollback(ctx)} {
			f.must("ending it", err, fault.Internal)
		}
		if tx.Conn().PgConn().TxStatus() != 'T' {
			t.Error("the work runs outside a transaction")
		}
		return nil, move(ctx, tx, k, -10)
	})
	f.must("do", err, "")
	f.has(90, "done", 1)
}

func TestKeysAreChecked(t *testing.T) {
	f, ctx, good := newFixture(t), context.Background(), key()
	for what, k := range map[string]participant.Key{
		"no saga":      {Step: stepName},
		"saga in caps": {Saga: strings.ToUpper(good.Saga), Step: stepName},
		"quoted saga":  {Saga: good.Saga + "'", Step: stepName},
		"line break":   {Saga: good.Saga + "\n", Step: stepName},
		"no step":      {Saga: good.Saga},
		"a digit":      {Saga: good.Saga, Step: "step1"},
		"long step":    {Saga: good.Saga, Step: strings.Repeat("a", 65)},
	} {
		_, err := f.Do(ctx, k, f.never)
		f.must(what, err, fault.InvalidField)
		f.must(what, f.Undo(ctx, k, f.neverBack), fault.InvalidField)
	}
	if n := f.value("select count(*) from step_markers"); n != 0 {
		t.Errorf("%d markers", n)
	}
}

func TestPruneKeepsMarkersForSixtyDays(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	const rows = `insert into step_markers (saga, step, state, created_at)
		select 'old' || i, 'x', 'done', now() - interval '61 days' from generate_series(1, 2500) i
		union all select 'young', 'x', 'undone', now() - interval '59 days'`
	if _, err := f.pool.Exec(ctx, rows); err != nil {
		t.Fatal(err)
	}
	f.must("prune", clean.New(f.pool, slog.New(slog.DiscardHandler), f.reg, participant.StepCleaner()).Round(ctx), "")
	f.has(100, "undone", 1)
	f.has(100, "done", 0)
}

// What decides is the step's outcome for good; after anything else the next
// call does the work.
func TestAStepKeepsWhatDecides(t *testing.T) {
	f := newFixture(t)
	for _, kind := range fault.Kinds() {
		k := key()
		refusal := fault.New(kind, "no")
		if _, err := f.Do(t.Context(), k, func(context.Context, pgx.Tx) (any, error) { return nil, refusal }); fault.KindOf(err) != kind {
			t.Fatalf("%s was answered as %v", kind, err)
		}
		_, err := f.Do(t.Context(), k, func(context.Context, pgx.Tx) (any, error) { return nil, nil })
		if kept := fault.KindOf(err) == kind && err != nil; kept != fault.Decides(refusal) {
			t.Errorf("%s: the next call got %v", kind, err)
		}
	}
}

// keyOf is a step of a saga that began so long ago.
func keyOf(t *testing.T, age time.Duration) participant.Key {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	for i, ms := 5, time.Now().Add(-age).UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	return participant.Key{Saga: id.String(), Step: stepName}
}

// Once its marker has been deleted, a step that was done cannot be told from one that was not: to undo it must not seem to
// succeed, and to do it must not do it twice.
func TestAStepWhoseMarkerMayBeGoneIsNeitherDoneNorUndone(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), keyOf(t, 61*24*time.Hour)
	// The saga was young when the step was done.
	if _, err := f.pool.Exec(ctx, "insert into step_markers values ($1, $2, 'done', '{\"amount\": 10}', now() - interval '61 days')", k.Saga, k.Step); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(ctx, "with m as (insert into moves values ($1, -10)) update accounts set amount = 90 where id = 1", k.Saga); err != nil {
		t.Fatal(err)
	}
	result, err := f.Do(ctx, k, f.never)
	f.must("do, while the marker is there", err, "")
	if string(result) != `{"amount": 10}` {
		t.Errorf("result %s", result)
	}
	f.must("prune", clean.New(f.pool, slog.New(slog.DiscardHandler), f.reg, participant.StepCleaner()).Round(ctx), "")
	for range 2 {
		f.must("undo", f.Undo(ctx, k, f.neverBack), fault.Lost)
		_, err = f.Do(ctx, k, f.never)
		f.must("do", err, fault.Lost)
	}
	f.has(90, "undone", 0)
	// Operators who have resolved it insert a marker: then the saga ends.
	if _, err := f.pool.Exec(ctx, "insert into step_markers values ($1, $2, 'undone')", k.Saga, k.Step); err != nil {
		t.Fatal(err)
	}
	f.must("undo, once it is resolved", f.Undo(ctx, k, f.neverBack), "")
}

func TestASagaThatIsYoungerThanItsMarkersIsServed(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), keyOf(t, 58*24*time.Hour)
	f.must("undo of what never was", f.Undo(ctx, k, f.neverBack), "")
	_, err := f.Do(ctx, k, f.never)
	f.must("do after it", err, fault.Aborted)
	k = keyOf(t, 58*24*time.Hour)
	_, err = f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
	f.must("undo", f.Undo(ctx, k, giveBack(k)), "")
	f.has(100, "undone", 2)
}

func TestOnStepIsCalledBeforeAStepIsAnswered(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	calls, says, want := 0, error(nil), 90
	f.Participant = participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.OnStep(func(ctx context.Context, about participant.Key) error {
		if calls++; about != k || ctx.Err() != nil {
			t.Errorf("called about %v, %v", about, ctx.Err())
		}
		if got := f.amount(); got != want {
			t.Errorf("called while the account has %d, want %d", got, want)
		}
		return says
	}))
	for _, says = range []error{errors.New("no answer"), fault.New(fault.NotFound, "")} {
		if _, err := f.Do(ctx, k, takeStep(k, 10)); fault.KindOf(err) != fault.OutcomeUnknown {
			t.Errorf("do: %v", err)
		}
	}
	says = nil
	if result, err := f.Do(ctx, k, f.never); err != nil || string(result) != `{"amount": 10}` {
		t.Errorf("do again: %s, %v", result, err)
	}
	want = 100
	f.must("undo", f.Undo(ctx, k, giveBack(k)), "")
	says = errors.New("no answer")
	f.must("undo again", f.Undo(ctx, k, f.neverBack), fault.OutcomeUnknown)
	if calls != 5 {
		t.Errorf("called %d times", calls)
	}
	_, err := f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	k = key()
	_, err = f.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return nil, fault.New(fault.VersionMismatch, "none") })
	f.must("refused do", err, fault.VersionMismatch)
	if calls != 5 {
		t.Error("called about what was refused")
	}
}

func TestStepsShareSlotsWithOtherUsersOfTheirPool(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	slots := pg.NewSlots(f.pool)
	f.Participant = participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.Sharing(slots))
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
	_, err := f.Do(short, k, f.never)
	f.must("do", err, fault.DeadlineExceeded)
	for _, release := range releases {
		release()
	}
	_, err = f.Do(ctx, k, takeStep(k, 10))
	f.must("do", err, "")
}
