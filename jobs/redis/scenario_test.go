package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/platform/redis"
)

// program is redis-care, as it is built for the image.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redis-care")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "redis-care")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", program, "./cmd/redis-care")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// A cluster comes to be, loses a master, grows by a shard under load and shrinks again.
func TestTheNodesMendTheirCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grow(6)
	places := c.requireWhole(time.Minute)

	dead := 0
	for !places[dead].master {
		dead++
	}
	c.nodes[dead].kill()
	killed := time.Now()
	c.eventually(10*time.Second, "the dead master's replica has taken over", func(ctx context.Context) error {
		return c.takenOver(ctx, dead, places)
	})
	t.Logf("the dead master's replica has taken over after %s", time.Since(killed))
	c.start(c.nodes[dead])
	if places = c.requireWhole(time.Minute); places[dead].master {
		t.Errorf("node %d has come back as a master", dead)
	}

	client := c.connect("gateway")
	c.keep(client, "before")
	l := c.load(client)
	c.want(8)
	c.grow(8)
	c.requireWhole(2 * time.Minute)
	c.require(client, "before")
	c.want(6)
	c.eventually(2*time.Minute, "the last two nodes may go", c.mayGo)
	c.remove(6)
	c.requireWhole(time.Minute)
	c.require(client, "before")
	l.stop(t)
	c.requireNothingRefused()
}

// A slot whose move nobody ends is closed by the nodes, however far the move came, and keeps its keys.
func TestTheNodesEndTheMoveOfASlot(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grow(6)
	places := c.requireWhole(time.Minute)
	client := c.connect("gateway")
	c.keep(client, "before")
	var masters []*node
	for i, p := range places {
		if p.master {
			masters = append(masters, c.nodes[i])
		}
	}
	for key, left := range map[string]openMove{"book:{1}": begunAtNewOwner, "book:{2}": begunAtBoth} {
		slot, err := masters[0].client.ClusterKeySlot(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		c.leaveOpen(masters, slot, left)
	}
	c.eventually(time.Minute, "no slot is open", func(ctx context.Context) error {
		for _, n := range masters {
			if said, err := n.client.ClusterNodes(ctx).Result(); err != nil || strings.Contains(said, "[") {
				return fmt.Errorf("node %d: %s %w", n.index, said, err)
			}
		}
		return nil
	})
	c.requireWhole(time.Minute)
	c.require(client, "before")
	c.requireNothingRefused()
	// Where two masters claim a slot for a moment, redis-cli decides within a transaction.
	for _, command := range []string{"multi", "exec"} {
		if said, err := masters[0].client.Do(t.Context(), "acl", "dryrun", "cluster", command).Text(); err != nil || said != "OK" {
			t.Errorf("%s as cluster: %s %v", command, said, err)
		}
	}
}

// openMove is how far the move of a slot came before whoever moved it was gone.
type openMove int

const (
	begunAtNewOwner openMove = iota
	begunAtBoth
)

// leaveOpen begins the move of a slot from its owner to another master.
func (c *cluster) leaveOpen(masters []*node, slot int64, left openMove) {
	c.t.Helper()
	ids := make([]string, len(masters))
	owner := -1
	for i, n := range masters {
		id, err := n.client.ClusterMyID(c.t.Context()).Result()
		if err != nil {
			c.t.Fatal(err)
		}
		ids[i] = id
		if n, err := n.client.ClusterCountKeysInSlot(c.t.Context(), int(slot)).Result(); err == nil && n > 0 {
			owner = i
		}
	}
	if owner < 0 {
		c.t.Fatalf("no master has keys of slot %d", slot)
	}
	heir := (owner + 1) % len(masters)
	err := masters[heir].client.Do(c.t.Context(), "cluster", "setslot", slot, "importing", ids[owner]).Err()
	if err == nil && left == begunAtBoth {
		err = masters[owner].client.Do(c.t.Context(), "cluster", "setslot", slot, "migrating", ids[heir]).Err()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// takenOver is nil once the replica of a dead node is a master.
func (c *cluster) takenOver(ctx context.Context, dead int, before []place) error {
	for i, n := range c.nodes {
		if before[i].master || before[i].other != c.nodes[dead].port {
			continue
		}
		info, err := n.client.Info(ctx, "replication").Result()
		if err == nil && field(info, "master_port:") != 0 {
			err = fmt.Errorf("node %d is still a replica", i)
		}
		return err
	}
	return errors.New("the dead node had no replica")
}

// mayGo is nil once six nodes hold everything that the cluster needs.
func (c *cluster) mayGo(ctx context.Context) error {
	places, err := c.places(ctx)
	if err != nil {
		return err
	}
	masters, copied := 0, map[int]bool{}
	for i, p := range places {
		switch {
		case p.slots > 0 && i >= 6:
			return fmt.Errorf("node %d has slots: %+v", i, places)
		case p.slots > 0:
			masters++
		case i < 6:
			copied[p.other] = true
		}
	}
	if masters != 3 || len(copied) != 3 {
		return fmt.Errorf("%+v", places)
	}
	return nil
}

const keys = 500

func (c *cluster) keep(client *redis.Client, value string) {
	c.t.Helper()
	for i := range keys {
		if err := client.Cluster().HSet(c.t.Context(), fmt.Sprintf("book:{%d}", i), "body", value).Err(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// require: moving a slot moves what it keeps.
func (c *cluster) require(client *redis.Client, value string) {
	c.t.Helper()
	for i := range keys {
		got, err := client.Cluster().HGet(c.t.Context(), fmt.Sprintf("book:{%d}", i), "body").Result()
		if err != nil || got != value {
			c.t.Fatalf("key %d: %q, %v", i, got, err)
		}
	}
}

// load writes and reads until it is stopped, whoever serves the keys.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	sent   int
	failed []error
}

func (c *cluster) load(client *redis.Client) *load {
	l := &load{}
	ctx, cancel := context.WithCancel(c.t.Context())
	l.cancel = cancel
	tick := time.NewTicker(2 * time.Millisecond)
	l.done.Go(func() {
		defer tick.Stop()
		for ; ctx.Err() == nil; l.sent++ {
			key := fmt.Sprintf("book:{load %d}", l.sent%keys)
			err := client.Cluster().HSet(context.WithoutCancel(ctx), key, "body", "value").Err()
			if err == nil {
				err = client.Cluster().HGet(context.WithoutCancel(ctx), key, "body").Err()
			}
			if err != nil {
				l.failed = append(l.failed, fmt.Errorf("%s: %w", key, err))
			}
			<-tick.C
		}
	})
	c.t.Cleanup(func() { l.cancel(); l.done.Wait() })
	return l
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	t.Logf("%d writes and reads, %d failed", l.sent, len(l.failed))
	if len(l.failed) > 0 {
		t.Error(errors.Join(l.failed[:min(10, len(l.failed))]...))
	}
}
