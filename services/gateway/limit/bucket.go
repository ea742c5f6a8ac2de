package limit

import (
	"context"
	_ "embed"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis"
)

// bucket is a token bucket per client, shared by all gateways.
type bucket interface {
	take(ctx context.Context, q leaseRequest) (grant, error)
}

// leaseRequest asks a bucket for permits.
type leaseRequest struct {
	key    string
	limits Limits
	wanted int
	spent  int // used without a lease; below 0: returned
}

// grant is a bucket's reply: permits, at most as many as wanted, and what the bucket holds afterwards.
type grant struct {
	permits int
	level   float64
}

//go:embed bucket.lua
var bucketScript string

// redisBucket keeps the buckets in Redis, one key each, which expires when the bucket would be full. A failover may lose
// the last changes, which grants a few permits twice.
type redisBucket struct {
	client *redis.Client
	script *goredis.Script
}

func newRedisBucket(client *redis.Client) redisBucket {
	return redisBucket{client: client, script: goredis.NewScript(bucketScript)}
}

func (b redisBucket) take(ctx context.Context, q leaseRequest) (grant, error) {
	reply, err := b.script.Run(ctx, b.client.Cluster(), []string{q.key},
		q.limits.Rate, q.limits.Burst, q.wanted, q.spent).Int64Slice()
	if err != nil {
		return grant{}, fmt.Errorf("lease permits: %w", err)
	}
	if len(reply) != 2 {
		return grant{}, fmt.Errorf("lease permits: redis answered with %d numbers", len(reply))
	}
	return grant{permits: int(reply[0]), level: float64(reply[1]) / 1000}, nil
}
