package coherence

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// registryPatience bounds a call to the registry.
	registryPatience = 250 * time.Millisecond
	// popWait and popMost bound one pop: it ends before the client's own
	// time-out, and takes no more than is applied at once.
	popWait = 300 * time.Millisecond
	popMost = 64
	// listLife is how long an inbox or a list of confirmations stays.
	listLife = 5 * time.Second
)

// Everything of the registry is in one slot, and so in one shard.
const registryKey = "{near}:registry"

func inboxKey(session string) string { return "{near}:inbox:" + session }

func replyKey(announcement string) string { return "{near}:reply:" + announcement }

// callRegistry runs a script on the registry, within registryPatience.
func callRegistry(ctx context.Context, c *goredis.ClusterClient, script *goredis.Script, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	reply, err := script.Run(ctx, c, []string{registryKey}, args...).Result()
	if err != nil {
		c.ReloadState(ctx)
	}
	return reply, err
}

// pop takes the elements of a list, or waits for the first one. When its answer is lost, what it took is lost: nobody
// confirms it then.
func pop(ctx context.Context, c *goredis.ClusterClient, list string, wait time.Duration) ([]string, error) {
	wait = max(time.Millisecond, min(wait, popWait))
	ctx, cancel := context.WithTimeout(ctx, wait+registryPatience)
	defer cancel()
	reply, err := c.Do(ctx, "blmpop", wait.Seconds(), 1, list, "left", "count", popMost).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		c.ReloadState(ctx)
		return nil, err
	}
	pair, _ := reply.([]any)
	if len(pair) != 2 {
		return nil, errReply
	}
	values, _ := pair[1].([]any)
	taken := make([]string, len(values))
	for i, value := range values {
		taken[i], _ = value.(string)
	}
	return taken, nil
}
