//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"
	goredis "github.com/redis/go-redis/v9"
)

// node is one of Redis as it sees itself.
type node struct {
	allocation string // as far as Consul's service id tells
	master     bool
	ok         bool // it knows all six, serves all slots, and follows its master if it has one
}

func redisNodes(ctx context.Context, t *testing.T) ([]node, error) {
	t.Helper()
	entries, err := healthy(ctx, t, "redis", "")
	if err != nil {
		return nil, err
	}
	variable, _, err := nomadClient(t).Variables().GetVariableItems("nomad/jobs/redis", (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, e := range entries {
		n, err := askRedis(ctx, hostPort(e), variable["password"])
		if err != nil {
			return nil, err
		}
		n.allocation = e.Service.ID
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func askRedis(ctx context.Context, at, password string) (n node, err error) {
	client := goredis.NewClient(&goredis.Options{
		Addr: at, Password: password, MaxRetries: -1, DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second,
		// As with the members of PostgreSQL: no DNS name in the certificate, and this one only looks.
		TLSConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	})
	defer client.Close()
	cluster, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return n, err
	}
	replication, err := client.Info(ctx, "replication").Result()
	n.master = strings.Contains(replication, "role:master")
	n.ok = strings.Contains(cluster, "cluster_state:ok") && strings.Contains(cluster, "cluster_known_nodes:6\r") &&
		strings.Contains(cluster, "cluster_slots_ok:16384") && (n.master || strings.Contains(replication, "master_link_status:up"))
	return n, err
}

func redisIsWhole(ctx context.Context, t *testing.T) error {
	t.Helper()
	nodes, err := redisNodes(ctx, t)
	if err != nil {
		return err
	}
	masters, ok := 0, 0
	for _, n := range nodes {
		if n.ok {
			ok++
		}
		if n.master {
			masters++
		}
	}
	if len(nodes) != 6 || ok != 6 || masters != 3 {
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
