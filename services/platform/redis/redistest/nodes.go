package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis"
	"bookstore/services/platform/wait/waittest"
)

// lastSlot is the highest of the slots that a cluster divides among its masters.
const lastSlot = 16_383

// Fleet is a Redis Cluster of several servers, which can be killed, frozen and
// brought back. A server is named by its index; at first the masters come
// first. What does not happen in time fails the test, so use it in the test's
// own goroutine.
type Fleet struct {
	t       testing.TB
	servers []*server
}

// Nodes starts a Redis Cluster of so many masters with so many replicas each,
// as in production but without TLS. A master that dies is replaced
// within about three seconds. All of it is stopped when the test ends.
func Nodes(t testing.TB, masters, replicas int) *Fleet {
	t.Helper()
	f := &Fleet{t: t}
	for range masters * (1 + replicas) {
		f.servers = append(f.servers, newServer(t, nil,
			"--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
			"--cluster-require-full-coverage", "no", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
			"--repl-diskless-load", "on-empty-db"))
	}
	f.form(masters)
	return f
}

func (f *Fleet) form(masters int) {
	f.t.Helper()
	for i, s := range f.servers {
		// Epochs of their own, or they would have to agree on some first.
		s.do(f.t, "cluster", "set-config-epoch", i+1)
		if i < masters {
			s.do(f.t, "cluster", "addslotsrange", i*(lastSlot+1)/masters, (i+1)*(lastSlot+1)/masters-1)
		}
	}
	for _, s := range f.servers[1:] {
		f.servers[0].do(f.t, "cluster", "meet", "127.0.0.1", s.port, s.bus)
	}
	for i, s := range f.servers[masters:] {
		master, err := f.servers[i%masters].client.ClusterMyID(f.t.Context()).Result()
		if err != nil {
			f.t.Fatalf("redistest: read a node's id: %v", err)
		}
		s.do(f.t, "cluster", "replicate", master)
	}
	f.WaitWhole()
}

// Addrs are the addresses of all servers, dead or alive.
func (f *Fleet) Addrs() []string {
	var addrs []string
	for _, s := range f.servers {
		addrs = append(addrs, s.addr())
	}
	return addrs
}

// Config is how a client reaches the cluster.
func (f *Fleet) Config() redis.Config {
	f.t.Helper()
	return Config(f.t, f.Addrs()...)
}

// Node is a client of one server alone; don't close it.
func (f *Fleet) Node(i int) *goredis.Client { return f.servers[i].client }

// Kill ends a server as a crash does: what it kept is lost, its place in the
// cluster is not.
func (f *Fleet) Kill(i int) { f.servers[i].kill() }

// Restart brings a killed server back at its old address, empty.
func (f *Fleet) Restart(i int) {
	f.t.Helper()
	f.servers[i].start(f.t)
}

// Freeze stops a server without ending it: it answers nobody, and connections
// to it stay open.
func (f *Fleet) Freeze(i int) { f.servers[i].signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (f *Fleet) Thaw(i int) { f.servers[i].signal(syscall.SIGCONT) }

// Promote makes a replica the master of its shard at once, without agreement of the
// others, so what its master had not yet sent to it is lost.
func (f *Fleet) Promote(i int) {
	f.t.Helper()
	f.servers[i].do(f.t, "cluster", "failover", "takeover")
}

// Masters are the servers that serve slots.
func (f *Fleet) Masters() []int {
	f.t.Helper()
	var masters []int
	for _, shard := range f.slots() {
		if i := f.index(shard.Nodes[0].Addr); i >= 0 && !slices.Contains(masters, i) {
			masters = append(masters, i)
		}
	}
	slices.Sort(masters)
	return masters
}

// MasterOf is the server that serves a key, -1 if none does.
func (f *Fleet) MasterOf(key string) int {
	f.t.Helper()
	return f.ofKey(key)[0]
}

// ReplicasOf are the servers that follow the one that serves a key.
func (f *Fleet) ReplicasOf(key string) []int {
	f.t.Helper()
	return f.ofKey(key)[1:]
}

// ofKey are the servers of a key's shard, the master first.
func (f *Fleet) ofKey(key string) []int {
	f.t.Helper()
	slot, err := f.anyone().ClusterKeySlot(f.t.Context(), key).Result()
	if err != nil {
		f.t.Fatalf("redistest: compute a key's slot: %v", err)
	}
	for _, shard := range f.slots() {
		if int64(shard.Start) <= slot && slot <= int64(shard.End) {
			var nodes []int
			for _, n := range shard.Nodes {
				nodes = append(nodes, f.index(n.Addr))
			}
			return nodes
		}
	}
	return []int{-1}
}

// WaitWhole waits until the servers that live agree on who serves what, all of it
// is served by living ones, and each replica has its master's copy.
func (f *Fleet) WaitWhole() {
	f.t.Helper()
	waittest.EventuallyNil(f.t, "a whole cluster", f.whole)
}

func (f *Fleet) whole(ctx context.Context) error {
	var agreed string
	for i, s := range f.servers {
		if !s.alive() {
			continue
		}
		info, err := s.client.ClusterInfo(ctx).Result()
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") ||
			!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(f.servers))) {
			return fmt.Errorf("server %d: %s", i, info)
		}
		slots, err := slotsOf(ctx, s.client)
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		view, err := f.view(slots)
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		if agreed == "" {
			agreed = view
		}
		if view != agreed {
			return fmt.Errorf("server %d sees %s, another %s", i, view, agreed)
		}
		replication, err := s.client.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(replication, "role:master") && !strings.Contains(replication, "master_link_status:up") {
			err = fmt.Errorf("server %d: %s", i, replication)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// view says who serves what; it must be somebody who lives.
func (f *Fleet) view(slots []goredis.ClusterSlot) (string, error) {
	var lines []string
	for _, shard := range slots {
		if len(shard.Nodes) == 0 {
			return "", errors.New("nobody serves some slots")
		}
		i := f.index(shard.Nodes[0].Addr)
		if i < 0 || !f.servers[i].alive() {
			return "", fmt.Errorf("server %d serves slots and is dead", i)
		}
		var replicas []int
		for _, n := range shard.Nodes[1:] {
			replicas = append(replicas, f.index(n.Addr))
		}
		slices.Sort(replicas)
		lines = append(lines, fmt.Sprintf("%05d-%05d:%d%v", shard.Start, shard.End, i, replicas))
	}
	slices.Sort(lines)
	return strings.Join(lines, " "), nil
}

// slots are as the first server sees them that answers.
func (f *Fleet) slots() []goredis.ClusterSlot {
	f.t.Helper()
	slots, err := slotsOf(f.t.Context(), f.anyone())
	if err != nil {
		f.t.Fatalf("redistest: list the slots: %v", err)
	}
	return slots
}

// slotsOf uses the command that lists a shard's master first.
func slotsOf(ctx context.Context, c *goredis.Client) ([]goredis.ClusterSlot, error) {
	return c.ClusterSlots(ctx).Result() //nolint:staticcheck // its successor also lists who serves nothing
}

// anyone is a client of a server that lives and answers.
func (f *Fleet) anyone() *goredis.Client {
	f.t.Helper()
	for _, s := range f.servers {
		if s.alive() && s.client.Ping(f.t.Context()).Err() == nil {
			return s.client
		}
	}
	f.t.Fatal("redistest: no server answers")
	return nil
}

func (f *Fleet) index(addr string) int {
	return slices.IndexFunc(f.servers, func(s *server) bool { return s.addr() == addr })
}
