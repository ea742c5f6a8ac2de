package coordinator

import (
	"context"
	"time"

	"bookstore/services/kit/fault"
)

// begun is what a request finds under its key: an attempt of its own to
// drive, or the outcome of an earlier one.
type begun struct {
	attempt Transaction
	earlier *Latest
}

// begin claims a new attempt, or finds the outcome that stands. While another
// request with the same key is running it waits for that one, until ctx ends.
func (s *Service) begin(ctx context.Context, c Claim) (begun, error) {
	n, waits := 1, false
	tx, mine, err := s.claim(ctx, c, n)
	for err == nil && !mine {
		var latest *Latest
		if latest, err = s.Store.Latest(ctx, c.Caller, c.Key); err != nil {
			break
		}
		if latest == nil {
			// Either nobody's: a participant was told about this gid (ask.go),
			// and the next one is free. Or pruned this moment, and the first is.
			if n++; n > 2 {
				n = 1
			}
			if err = s.await(ctx, ActWait, ""); err == nil {
				tx, mine, err = s.claim(ctx, c, n)
			}
			continue
		}
		switch action := Look(*latest, c.RequestHash); action {
		case ActAgain:
			n, waits = max(n, latest.Attempt)+1, false // past the one tried last: that may be nobody's too
			tx, mine, err = s.claim(ctx, c, n)
		case ActReplay:
			return begun{earlier: latest}, nil
		case ActReused:
			return begun{}, fault.New(fault.IdempotencyKeyReused, "this Idempotency-Key belongs to another request")
		case ActDoubt:
			return begun{}, fault.New(fault.OutcomeUnknown, "the outcome of this request needs an operator")
		case ActTakeOver, ActWait:
			waits = true
			err = s.await(ctx, action, latest.GID)
		}
	}
	if err != nil && waits && ctx.Err() != nil {
		err = stillRunning() // wherever in its wait the request ran out of time
	}
	return begun{attempt: tx}, err
}

// claim makes an attempt; its lease is in hand from here on.
func (s *Service) claim(ctx context.Context, c Claim, n int) (Transaction, bool, error) {
	timer := s.Metrics.phase("claim")
	defer timer()
	tx, mine, err := s.Store.Claim(ctx, c, n, s.settings.Owner)
	if mine {
		s.leases.hold(tx.GID)
	}
	return tx, mine, fault.Wrap("claim an attempt", err)
}

// await lets a little time pass, first seeing to it that an attempt whose
// owner is gone gets to its end.
func (s *Service) await(ctx context.Context, action Action, gid string) error {
	if action == ActTakeOver {
		if err := s.takeOver(ctx, gid); err != nil {
			return err
		}
	}
	if pause(ctx, s.settings.PollEvery) {
		return nil
	}
	return stillRunning()
}

func stillRunning() error {
	return &fault.Error{
		Kind: fault.InProgress, RetryAfter: time.Second,
		Message: "a request with this Idempotency-Key is still running",
	}
}
