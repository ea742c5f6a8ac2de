package coherence

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/fault"
)

const (
	// raisePatience bounds one try of Raise: its caller has committed already
	// and would rather wait than leave old copies behind.
	raisePatience = 250 * time.Millisecond
	raiseTries    = 2
	// clearBatch is how many keys are looked through at a time.
	clearBatch = 1000
)

// Raise sets the floors of books. They only rise, and a copy below its floor
// is not answered any more. An error: not all of them are certain.
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

// raise tries once and returns those that are left.
func (s *Shared) raise(ctx context.Context, floors []Floor) (left []Floor, err error) {
	ctx, cancel := context.WithTimeout(ctx, raisePatience)
	defer cancel()
	cluster := s.redis.Cluster()
	pipe := cluster.Pipeline()
	sent := map[*goredis.Cmd]Floor{}
	allowed, tried := map[*fuse]bool{}, map[*fuse]error{}
	for _, f := range floors {
		fuse := s.fuses.of(f.BookID)
		if _, asked := allowed[fuse]; !asked {
			allowed[fuse] = fuse.allow()
		}
		if !allowed[fuse] {
			left, err = append(left, f), fault.New(fault.Unavailable, "the shared cache is away")
			s.counts.WithLabelValues("raise", "skipped").Inc()
			continue
		}
		tried[fuse] = nil
		sent[raiseScript.Eval(ctx, pipe, []string{bookKey(f.BookID)}, f.Version, f.StockVersion, keyLife.Milliseconds())] = f
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for cmd, f := range sent {
		if cmd.Err() == nil {
			s.counts.WithLabelValues("raise", "raised").Inc()
			continue
		}
		tried[s.fuses.of(f.BookID)] = cmd.Err()
		left, err = append(left, f), away("raise a floor", cmd.Err())
		s.counts.WithLabelValues("raise", "failed").Inc()
		cluster.ReloadState(ctx)
	}
	for fuse, err := range tried {
		fuse.done(err)
	}
	return left, err
}

// Clear forgets all books. It takes their keys one by one rather than flushing
// the databases, which hold the registry of near tiers and clients' limits too.
// A floor may go with its key: what was being filled goes as well.
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
