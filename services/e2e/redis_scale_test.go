//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// A fourth shard is added and removed again while customers read and buy. Nobody notices; the
// new master gets its part of the keys, and no other key moves.
func TestOneMoreShard(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	shoptest.Eventually(t, time.Minute, "Redis is whole", func(ctx context.Context) error { return cluster.RedisWhole(ctx, t) })
	before := keyOwners(t, 10_000)
	l := shoptest.StartEveryday(t)
	l.More(t, "", 100)

	back := false
	t.Cleanup(func() {
		if !back {
			scaleRedis(t, 6)
		}
	})
	scaleRedis(t, 8)
	shoptest.Eventually(t, time.Minute, "Redis has four shards", func(ctx context.Context) error { return cluster.RedisHas(ctx, t, 8) })
	after := keyOwners(t, 10_000)
	l.More(t, "", 100)
	requireSpread(t, after, 4)
	moved := 0
	for i := range before {
		if !slices.Contains(before[i].nodes, after[i].id) { // a replica that took over has what its master had
			moved++
		}
	}
	t.Logf("one shard more moved %.1f %% of the keys", float64(moved)/float64(len(before))*100)
	if float64(moved) > 1.15/4*float64(len(before)) {
		t.Errorf("%d of %d keys moved, more than 1.15/4 of them", moved, len(before))
	}

	back = true
	scaleRedis(t, 6)
	shoptest.Eventually(t, time.Minute, "Redis has three shards", func(ctx context.Context) error { return cluster.RedisWhole(ctx, t) })
	requireSpread(t, keyOwners(t, 10_000), 3)
	l.More(t, "", 100)
	l.RequireNoFailure(t)
}

// scaleRedis runs what the task redis:scale runs.
func scaleRedis(t *testing.T, count int) {
	t.Helper()
	// The end of a test scales back, and then its own context is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Minute)
	defer cancel()
	begin := time.Now()
	scale := exec.CommandContext(ctx, "bash", "vagrant/provision/redis-scale.sh", strconv.Itoa(count))
	scale.Dir = "../.."
	out, err := scale.CombinedOutput()
	if err != nil {
		t.Errorf("scale redis to %d: %v\n%s", count, err, out)
		return
	}
	t.Logf("scaled to %d nodes in %.0f s\n%s", count, time.Since(begin).Seconds(), out)
}
