package coordinator

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
)

// look finds what stands under a request's key: an earlier outcome, or nothing
// that keeps it from claiming attempt n. While another request with the same key
// is running it waits for that one, until ctx ends. n is the attempt to claim
// first; refused tells that it has been tried, and was taken.
func (s *Service) look(ctx context.Context, c Claim, n int, refused bool) (earlier *Latest, next int, err error) {
	for waits := 0; ; waits++ {
		latest, err := s.Store.Latest(ctx, c.Caller, c.Key)
		switch {
		case err != nil && waits > 0 && ctx.Err() != nil:
			return nil, 0, stillRunning() // wherever in its wait the request ran out of time
		case err != nil:
			return nil, 0, err
		case latest == nil && !refused:
			return nil, n, nil
		case latest == nil:
			// Either nobody's: a participant was told about this gid (ask.go),
			// and the next one is free. Or pruned this moment, and the first is.
			if n++; n > 2 {
				n = 1
			}
			return nil, n, s.await(ctx, waits, ActWait, "")
		}
		switch action := Look(*latest, c.RequestHash); action {
		case ActAgain:
			return nil, max(n, latest.Attempt) + 1, nil // past the one tried last: that may be nobody's too
		case ActReplay:
			return latest, 0, nil
		case ActReused:
			return nil, 0, fault.New(fault.IdempotencyKeyReused, "this Idempotency-Key belongs to another request")
		case ActDoubt:
			return nil, 0, fault.New(fault.OutcomeUnknown, "the outcome of this request needs an operator")
		case ActTakeOver, ActWait:
			if waits == 0 {
				select {
				case s.waiting <- struct{}{}:
					defer func() { <-s.waiting }()
				default:
					return nil, 0, stillRunning()
				}
			}
			if err := s.await(ctx, waits, action, latest.GID); err != nil {
				return nil, 0, err
			}
		}
	}
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

// longestPoll is the most that PollEvery is doubled.
const longestPoll = 3

// await lets a little time pass, the longer the more often it was called before,
// first seeing to it that an attempt whose owner is gone gets to its end.
func (s *Service) await(ctx context.Context, waits int, action Action, gid string) error {
	if action == ActTakeOver {
		err := s.takeOver(ctx, gid)
		switch {
		case err != nil && ctx.Err() != nil:
			return stillRunning()
		case err != nil:
			return err
		}
	}
	if pause(ctx, s.settings.PollEvery<<min(waits, longestPoll)) {
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
