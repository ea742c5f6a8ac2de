package coherence

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
)

const (
	// readPatience bounds a call that a reader waits for. On a busy machine an answer now and then takes that long, and
	// the service's answer would take longer.
	readPatience = 100 * time.Millisecond
	// doubtedPart divides readPatience after a failure, until a call succeeds: a shard that is dead or frozen must not
	// delay many readers.
	doubtedPart = 5
)

// Shared is the shared tier, in Redis Cluster: one hash per book, with its floor and the copy that was stored last. All
// errors are fault.Unavailable; readers go on without the tier.
type Shared struct {
	// Patience bounds a call of Lookup, Store and Stale; set it before use.
	Patience time.Duration

	redis   *redis.Client
	lookups lookups
	cutoffs ranges
	counts  *prometheus.CounterVec
}

// NewShared makes the tier. When c is nil, every call fails with fault.Unavailable. reg may be nil.
func NewShared(c *redis.Client, reg prometheus.Registerer) *Shared {
	return &Shared{Patience: readPatience, redis: c, counts: sharedCounts(reg)}
}

func bookKey(id int64) string { return "book:{" + strconv.FormatInt(id, 10) + "}" }

// Lookup returns the copy of a book if it is fresh and not below the floor. Otherwise it returns a token, with which
// Store may store what is filled from now on. The token is "" while another reader holds one: fill then, and do not
// store.
func (s *Shared) Lookup(ctx context.Context, id int64) (e *Entry, token string, err error) {
	token = strconv.FormatUint(rand.Uint64(), 36)
	reply, err := s.call(ctx, "lookup", id, func(ctx context.Context, c *goredis.ClusterClient) *goredis.Cmd {
		return s.lookups.call(ctx, c, bookKey(id), token)
	})
	if err != nil {
		return nil, "", err
	}
	if left, ok := reply.(string); ok {
		s.counts.WithLabelValues("lookup", "miss").Inc()
		return nil, left, nil
	}
	e, err = entry(id, reply)
	if err != nil {
		return nil, "", err
	}
	s.counts.WithLabelValues("lookup", "hit").Inc()
	return e, "", nil
}

// Store keeps what the holder of a token filled after Lookup returned it. stored is false when the token is gone,
// replaced or of another incarnation of the shard, and when the entry is below the floor.
func (s *Shared) Store(ctx context.Context, token string, e *Entry) (stored bool, err error) {
	life := fresh
	if e.Status == http.StatusNotFound {
		life = freshMissing
	}
	life -= time.Since(e.FilledAt)
	if token == "" || life <= 0 {
		return false, nil
	}
	reply, err := s.call(ctx, "store", e.BookID, func(ctx context.Context, c *goredis.ClusterClient) *goredis.Cmd {
		return storeScript.Run(ctx, c, []string{bookKey(e.BookID)}, token, life.Milliseconds(), keyLife.Milliseconds(),
			e.Version, e.StockVersion, e.Status, e.ETag, e.Body, e.FilledAt.UnixMicro())
	})
	if err != nil {
		return false, err
	}
	result, _ := reply.(string)
	s.counts.WithLabelValues("store", result).Inc()
	return result == "stored", nil
}

// Stale returns the last copy, up to 10 minutes old, even below the floor; nil if there is none. It serves readers while
// the service is away. Where the master is away too, since both were on a machine that is gone, its replica answers.
func (s *Shared) Stale(ctx context.Context, id int64) (*Entry, error) {
	reply, err := s.call(ctx, "stale", id, func(ctx context.Context, c *goredis.ClusterClient) *goredis.Cmd {
		return lastCopy(ctx, c, id)
	})
	if err != nil {
		reply, err = s.askReplica(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if fields, ok := reply.([]any); ok && len(fields) > 0 && fields[0] == nil {
		s.counts.WithLabelValues("stale", "miss").Inc()
		return nil, nil
	}
	e, err := entry(id, reply)
	if err != nil {
		return nil, err
	}
	if time.Since(e.FilledAt) > stale {
		s.counts.WithLabelValues("stale", "old").Inc()
		return nil, nil
	}
	s.counts.WithLabelValues("stale", "hit").Inc()
	return e, nil
}

func lastCopy(ctx context.Context, c interface {
	Do(ctx context.Context, args ...any) *goredis.Cmd
}, id int64,
) *goredis.Cmd {
	return c.Do(ctx, "hmget", bookKey(id), "v", "s", "status", "etag", "body", "at")
}

// askReplica reads the last copy from a replica of the book's slot.
func (s *Shared) askReplica(ctx context.Context, id int64) (any, error) {
	if s.redis == nil {
		return nil, fault.New(fault.Unavailable, "the shared cache is away")
	}
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	replica, err := s.redis.Cluster().SlaveForKey(ctx, bookKey(id))
	if err != nil {
		return nil, away("find a replica of the shared cache", err)
	}
	pipe := replica.Pipeline()
	pipe.ReadOnly(ctx) // of the connection: by itself a replica sends callers to its master
	last := lastCopy(ctx, pipe, id)
	if _, err := pipe.Exec(ctx); err != nil {
		s.counts.WithLabelValues("stale", "failed").Inc()
		return nil, away("read a replica of the shared cache", err)
	}
	return last.Val(), nil
}

// call makes one call about a book within Patience, or none while the book's range of slots is cut off.
func (s *Shared) call(
	ctx context.Context, op string, id int64, call func(context.Context, *goredis.ClusterClient) *goredis.Cmd,
) (any, error) {
	cutoff := s.cutoffs.of(id)
	if s.redis == nil || !cutoff.allow() {
		s.counts.WithLabelValues(op, "skipped").Inc()
		return nil, fault.New(fault.Unavailable, "the shared cache is away")
	}
	patience := s.Patience
	if cutoff.doubted() {
		patience /= doubtedPart
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cluster := s.redis.Cluster()
	reply, err := call(within, cluster).Result()
	switch {
	case err == nil:
		cutoff.done(nil)
		return reply, nil
	case ctx.Err() == nil: // else the caller left: that says nothing about Redis
		cutoff.done(err)
		cluster.ReloadState(ctx)
	}
	s.counts.WithLabelValues(op, "failed").Inc()
	return nil, away("call the shared cache", err)
}

// away is the fault of a call to Redis that failed.
func away(op string, err error) error {
	return &fault.Error{Op: op, Kind: fault.Unavailable, Message: "the shared cache is away", Err: err}
}

// entry decodes the fields of a copy, in the order of the scripts.
func entry(id int64, reply any) (*Entry, error) {
	var text [6]string
	values, _ := reply.([]any)
	for i, value := range values[:min(len(values), len(text))] {
		text[i], _ = value.(string)
	}
	var number [6]int64
	for _, i := range []int{0, 1, 2, 5} {
		n, err := strconv.ParseInt(text[i], 10, 64)
		if err != nil {
			return nil, away("read a copy", err)
		}
		number[i] = n
	}
	return &Entry{
		BookID: id, Version: number[0], StockVersion: number[1], Status: int(number[2]),
		ETag: text[3], Body: []byte(text[4]), FilledAt: time.UnixMicro(number[5]),
	}, nil
}

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
