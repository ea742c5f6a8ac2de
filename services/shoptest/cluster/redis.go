package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
)

// node is a node of Redis as it sees itself.
type node struct {
	allocation string // from Consul's service id
	master     bool
	known      int  // nodes of the cluster, itself among them
	ok         bool // all slots are served, and it has its master's copy if it has a master
}

func redisNodes(ctx context.Context, t testing.TB) ([]node, error) {
	t.Helper()
	entries, err := Healthy(ctx, t, "redis", "")
	if err != nil {
		return nil, err
	}
	login, err := RedisUser(ctx, t, "cluster")
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, e := range entries {
		n, err := readRedis(ctx, HostPort(e), login)
		if err != nil {
			return nil, err
		}
		n.allocation = e.Service.ID
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func readRedis(ctx context.Context, at string, login RedisLogin) (n node, err error) {
	client := RedisAt(at, login)
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

// RedisWhole is nil when all nodes are there, half of them masters.
func RedisWhole(ctx context.Context, t testing.TB) error {
	t.Helper()
	wanted, err := Count(ctx, t, "redis")
	if err != nil {
		return err
	}
	return RedisHas(ctx, t, wanted)
}

// RedisHas is nil when there are so many nodes, half of them masters, and each knows them all.
func RedisHas(ctx context.Context, t testing.TB, count int) error {
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

// RedisMaster draws the allocation of one of the masters.
func RedisMaster(t testing.TB, random *rand.Rand) string {
	t.Helper()
	nodes, err := redisNodes(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	var masters []string
	for _, a := range Running(t, "redis") {
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

// RedisLogin is who comes to a node: a user with its password, and what certificate is shown.
type RedisLogin struct {
	User, Password string
	Shown          []tls.Certificate
}

// RedisUser is the login of a user: of a service's certificate at the cache, or of a node's.
func RedisUser(ctx context.Context, t testing.TB, user string) (RedisLogin, error) {
	t.Helper()
	variable, _, err := Nomad(t).Variables().GetVariableItems("nomad/jobs/redis", (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return RedisLogin{}, err
	}
	name := user + "-cache"
	if user == "cluster" {
		name = "redis"
	}
	leaf, _, err := Consul(t).Agent().ConnectCALeaf(name, (&consul.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return RedisLogin{}, err
	}
	shown, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	return RedisLogin{user, variable[user+"_password"], []tls.Certificate{shown}}, err
}

// RedisAt is a client of one node alone.
func RedisAt(at string, login RedisLogin) *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Addr: at, Username: login.User, Password: login.Password, MaxRetries: -1, DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second,
		DialerRetries: 1, DisableIdentity: true,
		// As with the members of PostgreSQL: no DNS name in the certificate, and this connection only reads.
		TLSConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, Certificates: login.Shown},
	})
}

// EachRedis does something with every node.
func EachRedis(t testing.TB, do func(at string, client *goredis.Client)) {
	t.Helper()
	entries, err := Healthy(t.Context(), t, "redis", "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no Redis in Consul: %v", err)
	}
	login, err := RedisUser(t.Context(), t, "cluster")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		client := RedisAt(HostPort(e), login)
		do(HostPort(e), client)
		client.Close()
	}
}

// SlotsOf reads the slots in the form that lists a shard's master first.
func SlotsOf(ctx context.Context, client *goredis.Client) ([]goredis.ClusterSlot, error) {
	return client.ClusterSlots(ctx).Result() //nolint:staticcheck // its successor also lists who serves nothing
}

// RedisAddress is the address of the node that an allocation runs.
func RedisAddress(t testing.TB, allocation string) string {
	t.Helper()
	entries, err := Healthy(t.Context(), t, "redis", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Service.ID, allocation) {
			return HostPort(e)
		}
	}
	t.Fatalf("allocation %s is not in Consul", allocation)
	return ""
}

// RedisReplaced is nil once no slots are left with the node at this address.
func RedisReplaced(ctx context.Context, t testing.TB, died string) error {
	t.Helper()
	entries, err := Healthy(ctx, t, "redis", "")
	if err != nil {
		return err
	}
	login, err := RedisUser(ctx, t, "cluster")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if HostPort(e) == died {
			continue
		}
		client := RedisAt(HostPort(e), login)
		slots, err := SlotsOf(ctx, client)
		client.Close()
		if err != nil {
			return err
		}
		for _, s := range slots {
			if s.Nodes[0].Addr == died {
				return fmt.Errorf("%s takes %s for a master", HostPort(e), died)
			}
		}
	}
	return nil
}
