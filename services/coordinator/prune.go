package coordinator

import "context"

// prune deletes attempts that ended long ago. What goes first is a rule of the
// protocol:
//
//		ended ──── 24 h ────── 30 days ────────────── 35 days ───►
//		      key bound │ row and marker │ row alone │ nothing
//
//	  - The marker of a committed branch goes before the row. While the row is
//	    there, its key, used again, finds it and begins the next attempt under a
//	    new gid. Were the row gone first, the key would begin attempt 1 anew, and
//	    the branches would say of the work of long ago that it is prepared. (They
//	    compare the deadlines too: a participant that was away for all of those
//	    five days refuses instead.)
//	  - No backup older than 30 days may be restored. A restored participant asks
//	    about what it had prepared then, and without its row a commit would be
//	    presumed aborted; a restored coordinatordb repeats decisions, and without
//	    their markers branches would seem lost.
//	  - Of one key the last attempt goes first, so that none is ever below a gap:
//	    a claim of attempt 1 succeeds only where there is no other.
//	  - Heuristic outcomes stay, and gids that only a participant had heard of:
//	    both are for people to look at.
func (s *Service) prune(ctx context.Context) {
	for pause(ctx, s.settings.PruneEvery) {
		if n, err := s.pruneAll(ctx); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "ended transactions not pruned, again after a pause", "pruned", n, "error", err)
		} else if n > 0 {
			s.Log.InfoContext(ctx, "ended transactions pruned", "count", n)
		}
	}
}

// pruneAll works in batches, with the pause of a poll between them: what
// requests and recovery do is more urgent.
func (s *Service) pruneAll(ctx context.Context) (total int, err error) {
	for {
		n, err := s.Store.Prune(ctx, s.settings.Retention, s.settings.PruneBatch)
		total += n
		if err != nil || n < s.settings.PruneBatch || !pause(ctx, s.settings.PollEvery) {
			return total, err
		}
	}
}
