//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// node is one of Redis as it sees itself.
type node struct {
	allocation string // as far as Consul's service id tells
	master     bool
	known      int  // nodes of the cluster, itself among them
	ok         bool // all slots are served, and it has its master's copy if it has a master
}

func redisNodes(ctx context.Context, t *testing.T) ([]node, error) {
	t.Helper()
	entries, err := healthy(ctx, t, "redis", "")
	if err != nil {
		return nil, err
	}
	password, err := redisPassword(ctx, t)
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, e := range entries {
		n, err := askRedis(ctx, hostPort(e), password)
		if err != nil {
			return nil, err
		}
		n.allocation = e.Service.ID
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func askRedis(ctx context.Context, at, password string) (n node, err error) {
	client := redisAt(at, password)
	defer client.Close()
	cluster, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return n, err
	}
	for line := range strings.Lines(cluster) {
		if known, ok := strings.CutPrefix(line, "cluster_known_nodes:"); ok {
			n.known, _ = strconv.Atoi(strings.TrimSpace(known)) // what is no number is no right one
		}
	}
	replication, err := client.Info(ctx, "replication").Result()
	n.master = strings.Contains(replication, "role:master")
	n.ok = strings.Contains(cluster, "cluster_state:ok") && strings.Contains(cluster, "cluster_slots_ok:16384") &&
		(n.master || strings.Contains(replication, "master_link_status:up"))
	return n, err
}

func redisIsWhole(ctx context.Context, t *testing.T) error {
	t.Helper()
	return redisHas(ctx, t, 6)
}

// redisHas is nil when there are so many nodes, half of them masters, and each knows them all.
func redisHas(ctx context.Context, t *testing.T, count int) error {
	t.Helper()
	nodes, err := redisNodes(ctx, t)
	if err != nil {
		return err
	}
	masters, ok := 0, 0
	for _, n := range nodes {
		if n.ok && n.known == count {
			ok++
		}
		if n.master {
			masters++
		}
	}
	if len(nodes) != count || ok != count || masters != count/2 {
		return fmt.Errorf("of %d nodes of Redis %d are well and %d are masters", len(nodes), ok, masters)
	}
	return nil
}

func redisMaster(t *testing.T, random *rand.Rand) string {
	t.Helper()
	nodes, err := redisNodes(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	var masters []string
	for _, a := range runningAllocations(t, "redis") {
		for _, n := range nodes {
			if n.master && strings.Contains(n.allocation, a.ID) {
				masters = append(masters, a.ID)
			}
		}
	}
	if len(masters) == 0 {
		t.Fatalf("no master of Redis: %+v", nodes)
	}
	return masters[random.IntN(len(masters))]
}
