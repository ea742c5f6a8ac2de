package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

// until tries often, as many short calls do, and says how long it took.
func until(t *testing.T, what string, try func(context.Context) error) time.Duration {
	t.Helper()
	begin := time.Now()
	waittest.EventuallyNil(t, what, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		return try(ctx)
	})
	return time.Since(begin)
}

func set(client *redis.Client, key string) func(context.Context) error {
	return func(ctx context.Context) error { return client.Cluster().Set(ctx, key, "value", time.Minute).Err() }
}

func TestAMasterThatDiedIsReplaced(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	client := open(t, nodes.Config())
	until(t, "serve at first", set(client, "key"))
	died := nodes.MasterOf("key")
	nodes.Kill(died)
	t.Logf("served again after %s", until(t, "serve again", set(client, "key")))
	until(t, "think so too", func(context.Context) error { // the node that is called learns of it from others
		if now := nodes.MasterOf("key"); now == died {
			return fmt.Errorf("server %d is still thought to serve", now)
		}
		return nil
	})
	nodes.Restart(died)
	nodes.WaitWhole()
	if got := nodes.ReplicasOf("key"); len(got) != 1 || got[0] != died {
		t.Errorf("the replicas are %v, not the %d that came back", got, died)
	}
}

func TestAFrozenMasterHoldsNobodyBeyondHisContext(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	client := open(t, nodes.Config())
	until(t, "serve at first", set(client, "key"))
	frozen := nodes.MasterOf("key")
	nodes.Freeze(frozen)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := client.Cluster().Get(ctx, "key").Err()
	if took := time.Since(begin); err == nil || took > 300*time.Millisecond {
		t.Errorf("a call with 20 ms to live ended after %s with %v", took, err)
	}
	t.Logf("served again after %s", until(t, "serve again", set(client, "key")))
	nodes.Thaw(frozen)
	nodes.WaitWhole()
}

// What was read through the members of before is read through those of now at
// once: the file may change while calls are under way.
func TestAChangeOfMembersFailsNoCall(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 0)
	c := redistest.Config(t, nodes.Addrs()[0])
	client := open(t, c)
	until(t, "serve at first", set(client, "key"))
	before := client.Cluster()
	write(t, c.MembersFile, nodes.Addrs()[1]+"\n")
	for begin := time.Now(); client.Cluster() == before; {
		if err := set(client, "key")(t.Context()); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the change was not seen")
		}
	}
	if err := set(client, "key")(t.Context()); err != nil {
		t.Error(err)
	}
}
