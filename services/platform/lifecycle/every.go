package lifecycle

import (
	"context"
	"log/slog"
	"time"

	"bookstore/services/platform/wait"
)

// Every makes a part that calls do repeatedly, with a pause between. A failure is logged. The context ends with the
// service, so do must bound each call that it makes: one that hangs would be the last.
func Every(name string, pause time.Duration, log *slog.Logger, do func(ctx context.Context) error) Part {
	return Throughout(name, func(ctx context.Context) {
		for wait.For(ctx, pause) {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				log.Warn("failed, again after a pause", "part", name, "error", err.Error())
			}
		}
	})
}

// Throughout makes a part that runs one function. Its stop cancels the function's context and waits for its return.
func Throughout(name string, run func(ctx context.Context)) Part {
	var cancel context.CancelFunc
	done := make(chan struct{})
	start := func(ctx context.Context) error {
		ctx, cancel = context.WithCancel(ctx) //nolint:gosec // stop calls it
		go func() {
			defer close(done)
			run(ctx)
		}()
		return nil
	}
	stop := func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return Part{Name: name, Start: start, Stop: stop}
}
