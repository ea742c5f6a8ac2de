package lifecycle

import (
	"context"
	"log/slog"
	"time"
)

// Every makes a part that does something again and again, with a pause between.
// A failure is logged and tried again after the next pause.
func Every(name string, pause time.Duration, log *slog.Logger, do func(ctx context.Context) error) Part {
	var cancel context.CancelFunc
	done := make(chan struct{})
	start := func(ctx context.Context) error {
		ctx, cancel = context.WithCancel(ctx) //nolint:gosec // stop calls it
		go func() {
			defer close(done)
			for wait(ctx, pause) {
				if err := do(ctx); err != nil && ctx.Err() == nil {
					log.Warn("failed, again after a pause", "part", name, "error", err.Error())
				}
			}
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
