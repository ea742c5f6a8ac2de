package participant_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

func TestStepsAreToldOfBeforeTheyAreAnswered(t *testing.T) {
	f, ctx, k := newFixture(t), context.Background(), key()
	heard, says, want := 0, error(nil), 90
	f.Participant = participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.OnStep(func(ctx context.Context, told participant.Key) error {
		if heard++; told != k || ctx.Err() != nil {
			t.Errorf("told of %v, %v", told, ctx.Err())
		}
		if got := f.amount(); got != want {
			t.Errorf("told while the account has %d, want %d", got, want)
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
	if heard != 5 {
		t.Errorf("told %d times", heard)
	}
	_, err := f.Do(ctx, k, f.never)
	f.must("late do", err, fault.Aborted)
	k = key()
	_, err = f.Do(ctx, k, func(context.Context, pgx.Tx) (any, error) { return nil, fault.New(fault.VersionMismatch, "none") })
	f.must("refused do", err, fault.VersionMismatch)
	if heard != 5 {
		t.Error("told of what was refused")
	}
}

func TestStepsTakeTurnsWithOthersOfTheirPool(t *testing.T) {
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
