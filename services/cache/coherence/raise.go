package coherence

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/fault"
)

const (
	// raisePatience bounds one try of Raise. It is longer than a reader's: the change is committed, and an old copy that
	// stays costs more than waiting.
	raisePatience = 250 * time.Millisecond
	raiseTries    = 2
	// clearBatch is how many keys Clear scans at a time.
	clearBatch = 1000
)

// Raise raises the floors of books. Floors never sink, and a copy below its floor is not served any more. After an error
// some floors may not be raised.
func (s *Shared) Raise(ctx context.Context, floors []Floor) error {
	if s.redis == nil {
		return fault.New(fault.Unavailable, "the shared cache is away")
	}
	var err error
	for range raiseTries {
		floors, err = s.raise(ctx, floors)
		if len(floors) == 0 {
			return nil
		}
	}
	return err
}

// raise tries once and returns the floors that failed.
func (s *Shared) raise(ctx context.Context, floors []Floor) (left []Floor, err error) {
	ctx, cancel := context.WithTimeout(ctx, raisePatience)
	defer cancel()
	cluster := s.redis.Cluster()
	pipe := cluster.Pipeline()
	sent := map[*goredis.Cmd]Floor{}
	allowed, tried := map[*cutoff]bool{}, map[*cutoff]error{}
	for _, f := range floors {
		cutoff := s.cutoffs.of(f.BookID)
		if _, known := allowed[cutoff]; !known {
			allowed[cutoff] = cutoff.allow()
		}
		if !allowed[cutoff] {
			left, err = append(left, f), fault.New(fault.Unavailable, "the shared cache is away")
			s.counts.WithLabelValues("raise", "skipped").Inc()
			continue
		}
		tried[cutoff] = nil
		sent[raiseScript.Eval(ctx, pipe, []string{bookKey(f.BookID)}, f.Version, f.StockVersion, keyLife.Milliseconds())] = f
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for cmd, f := range sent {
		if cmd.Err() == nil {
			s.counts.WithLabelValues("raise", "raised").Inc()
			continue
		}
		tried[s.cutoffs.of(f.BookID)] = cmd.Err()
		left, err = append(left, f), away("raise a floor", cmd.Err())
		s.counts.WithLabelValues("raise", "failed").Inc()
		cluster.ReloadState(ctx)
	}
	for cutoff, err := range tried {
		cutoff.done(err)
	}
	return left, err
}

// Clear removes all books. It deletes their keys one by one rather than flushing the databases, which also hold the
// registry of sessions and the clients' limits. A floor may go with its key because the token of a fill in flight goes too.
func (s *Shared) Clear(ctx context.Context) error {
	if s.redis == nil {
		return fault.New(fault.Unavailable, "the shared cache is away")
	}
	err := s.redis.Cluster().ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := node.Scan(ctx, cursor, "book:{*", clearBatch).Result()
			if err != nil {
				return err
			}
			pipe := node.Pipeline() // a key is a slot of its own
			for _, key := range keys {
				pipe.Unlink(ctx, key)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return away("clear the shared cache", err)
	}
	return nil
}
