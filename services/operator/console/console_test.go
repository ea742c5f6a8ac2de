package console_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/operator/console"
)

// looks answers with what is left, look by look.
func looks(left ...string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		now := left[0]
		if len(left) > 1 {
			left = left[1:]
		}
		return now, nil
	}
}

func TestWaitSaysWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		err := console.Console{Out: &out}.Wait(t.Context(), console.Wait{For: "it", Limit: time.Minute, Every: time.Second},
			looks("two", "two", "one", ""))
		if want := "    0s two\n    2s one\n"; err != nil || out.String() != want {
			t.Errorf("%q, %v", out.String(), err)
		}
	})
}

func TestWaitGivesSignsOfLifeAndThenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		err := console.Console{Out: &out}.Wait(t.Context(), console.Wait{For: "it", Limit: 15 * time.Second, Hint: "do that", Every: time.Second}, looks("two"))
		if want := "    0s two\n   10s two\n"; out.String() != want {
			t.Errorf("%q", out.String())
		}
		if err == nil || err.Error() != "it took more than 15 s: two; do that" {
			t.Errorf("%v", err)
		}
	})
}

func TestWaitEndsWithAnErrorOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		wait := console.Wait{For: "it", Limit: time.Hour}
		err := console.Console{Out: &strings.Builder{}}.Wait(t.Context(), wait, func(context.Context) (string, error) { return "x", broken })
		if !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := (console.Console{Out: &strings.Builder{}}).Wait(ctx, wait, looks("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
