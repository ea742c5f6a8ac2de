//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// shard is some slots, the id and address of the master that owns them, and the ids of all who
// have what is in them.
type shard struct {
	start, end int
	id, master string
	nodes      []string
}

func redisShards(t *testing.T) (shards []shard) {
	t.Helper()
	cluster.EachRedis(t, func(at string, client *goredis.Client) {
		if shards != nil {
			return
		}
		slots, err := cluster.SlotsOf(t.Context(), client)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for _, s := range slots {
			owned := shard{start: s.Start, end: s.End, id: s.Nodes[0].ID, master: s.Nodes[0].Addr}
			for _, n := range s.Nodes {
				owned.nodes = append(owned.nodes, n.ID)
			}
			shards = append(shards, owned)
		}
	})
	return shards
}

// keyOwners is the shard that owns the cached copy of each book from 1 to n.
func keyOwners(t *testing.T, n int) []shard {
	t.Helper()
	shards, owners := redisShards(t), make([]shard, n)
	done := false
	cluster.EachRedis(t, func(at string, client *goredis.Client) {
		if done {
			return
		}
		done = true
		slots, err := client.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for i := range n {
				p.ClusterKeySlot(t.Context(), fmt.Sprintf("book:{%d}", i+1))
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for i, answer := range slots {
			slot := int(answer.(*goredis.IntCmd).Val())
			of := slices.IndexFunc(shards, func(s shard) bool { return s.start <= slot && slot <= s.end })
			if of < 0 {
				t.Fatalf("nobody owns slot %d", slot)
			}
			owners[i] = shards[of]
		}
	})
	return owners
}

// requireSpread: as many masters as there should be, none with more than its share of the keys.
func requireSpread(t *testing.T, owners []shard, masters int) {
	t.Helper()
	keys, peak := map[string]int{}, 0
	for _, owner := range owners {
		keys[owner.id]++
		peak = max(peak, keys[owner.id])
	}
	mean := float64(len(owners)) / float64(masters)
	t.Logf("%d keys on %d masters, the most on one %.3f of the mean", len(owners), len(keys), float64(peak)/mean)
	if len(keys) != masters || float64(peak) > 1.1*mean {
		t.Errorf("%v, want %d masters and no more than 1.1 of the mean", keys, masters)
	}
}

func TestKeysSpreadOverMasters(t *testing.T) {
	shoptest.Eventually(t, time.Minute, "Redis is whole", func(ctx context.Context) error { return cluster.RedisWhole(ctx, t) })
	requireSpread(t, keyOwners(t, 10_000), 3)
}

// A node speaks TLS or says nothing; what it keeps is bounded and the longest unused goes first.
func TestRedisSpeaksTLSAndIsBounded(t *testing.T) {
	cluster.EachRedis(t, func(at string, client *goredis.Client) {
		if err := speaksPlain(t, at); err == nil {
			t.Errorf("%s speaks without TLS", at)
		}
		settings, err := client.ConfigGet(t.Context(), "maxmemory*").Result()
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		bytes, _ := strconv.ParseInt(settings["maxmemory"], 10, 64)
		if bytes <= 0 || bytes > 64<<20 || settings["maxmemory-policy"] != "allkeys-lru" {
			t.Errorf("%s keeps %d bytes, then %s", at, bytes, settings["maxmemory-policy"])
		}
	})
}

// speaksPlain is nil when a node answers who does not speak TLS.
func speaksPlain(t *testing.T, at string) error {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(t.Context(), "tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), "-NOAUTH") && !strings.HasPrefix(string(answer[:n]), "+") {
		err = errors.New("no answer of Redis")
	}
	return err
}

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
	out, err := cluster.OperatorCommand(ctx, "redis", "scale", strconv.Itoa(count)).CombinedOutput()
	if err != nil {
		t.Errorf("scale redis to %d: %v\n%s", count, err, out)
		return
	}
	t.Logf("scaled to %d nodes in %.0f s\n%s", count, time.Since(begin).Seconds(), out)
}

// Every user of Redis gets a new password while customers read and buy: nobody notices, and no node refuses anybody.
func TestRotatedUsersOfRedisAreNeverRefused(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	before := map[string]cluster.RedisLogin{}
	for _, user := range redisUsers {
		before[user] = redisLogin(t, user)
	}
	l := shoptest.StartEveryday(t)
	l.More(t, "", 100)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, "redis", "rotate").CombinedOutput()
	if err != nil {
		t.Fatalf("rotate: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	l.More(t, "", 100)
	l.RequireNoFailure(t)
	requireNothingRefused(t)
	cluster.EachRedis(t, func(at string, client *goredis.Client) {
		// To try them would be a refusal of the shop's users in the node's log.
		there, err := client.ACLList(t.Context()).Result()
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for user, login := range before {
			if hash := sha256.Sum256([]byte(login.Password)); strings.Contains(strings.Join(there, " "), hex.EncodeToString(hash[:])) {
				t.Errorf("%s still takes the password that %s had", at, user)
			}
		}
	})
}
