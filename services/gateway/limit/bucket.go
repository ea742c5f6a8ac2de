package limit

import (
	"context"
	_ "embed"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis"
)

// bucket is where the gateways share the permits of a client.
type bucket interface {
	take(ctx context.Context, q question) (grant, error)
}

// question asks for permits.
type question struct {
	key    string
	limits Limits
	wanted int
	spent  int // admitted without having asked; below 0: handed back
}

// grant is the answer: at most what was wanted, and what is left then.
type grant struct {
	permits int
	level   float64
}

//go:embed bucket.lua
var bucketScript string

// redisBucket keeps the buckets in Redis, each in one key that expires when it
// would be full. A failover may lose the last changes: some permits more.
type redisBucket struct {
	client *redis.Client
	script *goredis.Script
}

func newRedisBucket(client *redis.Client) redisBucket {
	return redisBucket{client: client, script: goredis.NewScript(bucketScript)}
}

func (b redisBucket) take(ctx context.Context, q question) (grant, error) {
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
