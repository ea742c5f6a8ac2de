package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/platform/wait"
)

func TestForEndsWithTheTimeOrTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if !wait.For(t.Context(), time.Minute) || time.Since(begin) != time.Minute {
			t.Errorf("paused for %s", time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if wait.For(ctx, time.Minute) || time.Since(begin) != time.Minute+time.Second {
			t.Errorf("ended after %s", time.Since(begin))
		}
	})
}

func TestUntilReturnsTheLastErrorBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, failure := 0, errors.New("not yet")
		err := wait.Until(t.Context(), time.Second, func(context.Context) error {
			if calls++; calls < 4 {
				return failure
			}
			return nil
		})
		if err != nil || calls != 4 {
			t.Errorf("%v after %d calls", err, calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err = wait.Until(ctx, time.Second, func(ctx context.Context) error {
			if deadline, _ := ctx.Deadline(); time.Until(deadline) < time.Second {
				<-ctx.Done()
				return ctx.Err()
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("the last error is %v", err)
		}
	})
}

func TestBackoffDoublesUpToItsMost(t *testing.T) {
	t.Parallel()
	b := wait.Backoff{First: 50 * time.Millisecond, Most: 15 * time.Second}
	for failures, want := range map[int]time.Duration{
		0: b.First, 1: b.First, 2: 2 * b.First, 3: 4 * b.First, 8: 6400 * time.Millisecond, 9: 12800 * time.Millisecond, 10: b.Most, 1 << 40: b.Most,
	} {
		if got := b.After(failures); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
		for range 100 {
			if got := b.Spread(failures); got > want || got < want/2 {
				t.Fatalf("after %d failures %s is not between half of %s and all of it", failures, got, want)
			}
		}
	}
}
