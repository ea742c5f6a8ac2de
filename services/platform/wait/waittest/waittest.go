// Package waittest polls in tests for what is about to happen.
package waittest

import (
	"context"
	"errors"
	"testing"
	"time"

	"bookstore/services/platform/wait"
)

const (
	patience = time.Minute // a busy machine takes its time
	every    = 10 * time.Millisecond
)

// Eventually returns once holds returns true. The test fails with what was awaited after a minute.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	EventuallyNil(t, what, func(context.Context) error {
		if !holds() {
			return errors.New("it does not hold")
		}
		return nil
	})
}

// EventuallyNil returns once check returns nil. The test fails with check's last error after a minute. It may be called in a
// cleanup, when the test's own context has ended.
func EventuallyNil(t testing.TB, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := wait.Until(ctx, every, check); err != nil {
		t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}
