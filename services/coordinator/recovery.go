package coordinator

import "context"

// recoverLapsed takes attempts over whose owner fell silent and drives them to
// their end. Every coordinator does so; the store gives each row to one.
func (s *Service) recoverLapsed(ctx context.Context) {
	const countEvery = 10 // rounds
	failing := false
	for round := 0; pause(ctx, s.settings.TakeOverEvery); round++ {
		err := s.takeOver(ctx, "")
		if err == nil && round%countEvery == 0 {
			err = s.countUnfinished(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "recovery cannot read the transactions; trying on", "error", err)
		}
		failing = err != nil
	}
}

// takeOver claims lapsed attempts, or only gid's, and hands them to the
// finisher.
func (s *Service) takeOver(ctx context.Context, gid string) error {
	if gid == "" && s.leases.count() >= s.settings.TakeOverLimit {
		return nil
	}
	claimed, err := s.lapsed(ctx, gid)
	if err != nil {
		return err
	}
	for _, tx := range claimed {
		if s.leases.holds(tx.GID) {
			continue // in hand, and without an answer for long: the others come to it when it lapses again
		}
		s.Log.WarnContext(ctx, "taking over a transaction", "gid", tx.GID, "state", tx.State, "kind", tx.Kind)
		s.Metrics.takenOver.Inc()
		s.leases.hold(tx.GID)
		s.finisher.finish(ctx, tx)
	}
	return nil
}

// lapsed claims lapsed attempts. Those that are claimed by a call without an
// answer lapse again.
func (s *Service) lapsed(ctx context.Context, gid string) ([]Transaction, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.StoreTimeout)
	defer cancel()
	return s.Store.TakeOver(ctx, s.settings.Owner, gid, s.settings.TakeOverBatch)
}

func (s *Service) countUnfinished(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.StoreTimeout)
	defer cancel()
	counts, err := s.Store.Unfinished(ctx)
	if err == nil {
		s.Metrics.showUnfinished(counts)
	}
	return err
}

// renew keeps the leases of what is in hand and makes progress. Most attempts
// are over before their lease needs it.
func (s *Service) renew(ctx context.Context) {
	for pause(ctx, s.settings.RenewEvery) {
		s.Metrics.inHand.Set(float64(s.leases.count()))
		gids, stalled := s.leases.due(s.settings.RenewEvery/2, s.settings.Stall)
		s.Metrics.stalled.Set(float64(stalled))
		if len(gids) == 0 {
			continue
		}
		if err := s.renewOnce(ctx, gids); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "leases not renewed", "count", len(gids), "error", err)
		}
	}
}

func (s *Service) renewOnce(ctx context.Context, gids []string) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Lease/2)
	defer cancel()
	return s.Store.Renew(ctx, s.settings.Owner, gids)
}
