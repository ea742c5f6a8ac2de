// Package redis_test runs what the image of Redis runs, without containers: redis-care and
// redis.conf, a few nodes of them beside a Consul that knows only these.
package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
)

// cluster is the nodes by index, nil where there is none, and what Consul says about them.
type cluster struct {
	t      *testing.T
	dir    string
	hosts  int // over which the nodes are spread, each an address of this machine; 0: one
	files  redistest.PEM
	consul *httptest.Server

	mu      sync.Mutex
	nodes   []*node
	count   int           // Consul's key redis/count; 0: there is none
	index   uint64        // of Consul's state: it grows with each change
	changed chan struct{} // closed by the next one
}

type node struct {
	index     int
	port, bus int
	dir       string
	process   *exec.Cmd
	client    *goredis.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), files: redistest.Certificates(t, "redis"), index: 1, changed: make(chan struct{})}
	c.consul = httptest.NewServer(http.HandlerFunc(c.serveConsul))
	t.Cleanup(c.consul.Close)
	return c
}

// serveConsul answers at once where the caller knows less than Consul, else after the next change.
func (c *cluster) serveConsul(w http.ResponseWriter, r *http.Request) {
	if known, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64); err == nil {
		c.mu.Lock()
		news := known != c.index
		changed := c.changed
		c.mu.Unlock()
		if !news {
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(c.index, 10))
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/catalog/"):
		services := []map[string]any{}
		for _, n := range c.nodes {
			services = append(services, map[string]any{
				"ServiceAddress": c.host(n.index), "ServicePort": n.port,
				"ServiceMeta": map[string]string{"bus_port": strconv.Itoa(n.bus), "index": strconv.Itoa(n.index)},
			})
		}
		_ = json.NewEncoder(w).Encode(services)
	case c.count == 0:
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode([]map[string]any{{"Key": "redis/count", "Value": []byte(strconv.Itoa(c.count))}})
	}
}

// change changes what Consul knows.
func (c *cluster) change(how func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	how()
	c.index++
	close(c.changed)
	c.changed = make(chan struct{})
}

// host is the address of a node: nodes take turns over the hosts, so that i and i+3 are on the same of three.
func (c *cluster) host(index int) string { return fmt.Sprintf("127.0.0.%d", 1+index%max(1, c.hosts)) }

// want sets the key redis/count.
func (c *cluster) want(count int) { c.change(func() { c.count = count }) }

// grow adds nodes until there are so many.
func (c *cluster) grow(count int) {
	c.t.Helper()
	for i := len(c.nodes); i < count; i++ {
		n := &node{index: i, port: freePort(c.t), bus: freePort(c.t), dir: filepath.Join(c.dir, strconv.Itoa(i))}
		n.client = goredis.NewClient(&goredis.Options{
			Network: "unix", Addr: filepath.Join(n.dir, "redis.sock"), Username: "cluster", Password: passwords["cluster"],
			MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		})
		c.t.Cleanup(func() {
			_ = n.client.Close()
			n.kill()
		})
		c.prepare(n)
		c.start(n)
		c.change(func() { c.nodes = append(c.nodes, n) })
	}
}

// prepare writes what Nomad's templates would.
func (c *cluster) prepare(n *node) {
	c.t.Helper()
	conf, err := os.ReadFile("redis.conf")
	if err != nil {
		c.t.Fatal(err)
	}
	leaf := slices.Concat(read(c.t, c.files.Cert), read(c.t, c.files.Key))
	for name, content := range map[string][]byte{
		"secrets/tls/ca.pem":      read(c.t, c.files.CA),
		"secrets/tls/leaf.pem":    leaf,
		"secrets/redis/users.acl": users(c.t, passwords.items()),
		"secrets/redis/peer.conf": []byte("masteruser cluster\nmasterauth " + passwords["cluster"] + "\ntls-auth-clients yes\n"),
		"secrets/redis/password":  []byte(passwords["cluster"]),
		"data/.lock":              nil,
		"redis.conf": []byte(strings.NewReplacer("/secrets", n.dir+"/secrets", "/data", n.dir+"/data",
			"/tmp/redis.sock", n.dir+"/redis.sock").Replace(string(conf))),
	} {
		path := filepath.Join(n.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// start runs a node as its container does, with its own group of processes to be killed at once.
func (c *cluster) start(n *node) {
	c.t.Helper()
	_ = os.Remove(filepath.Join(n.dir, "redis.sock")) // a container that starts has none
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	n.process = c.command(n, "--maxmemory", "32mb")
	n.process.Stdout, n.process.Stderr = log, log
	n.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.process.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// command runs the program beside a node.
func (c *cluster) command(n *node, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(c.t.Context()), program, args...)
	cmd.Env = append(os.Environ(),
		"CONSUL_HTTP_ADDR="+c.consul.URL, "REDIS_CONF="+n.dir+"/redis.conf", "REDIS_DATA="+n.dir+"/data",
		"REDIS_SOCKET="+n.dir+"/redis.sock", "REDIS_SECRETS="+n.dir+"/secrets", "REDIS_COUNT=6", "REDIS_INDEX="+strconv.Itoa(n.index),
		"REDIS_ADDRESS="+c.host(n.index), "REDIS_PORT="+strconv.Itoa(n.port), "REDIS_BUS_PORT="+strconv.Itoa(n.bus))
	return cmd
}

// kill ends a node and all that runs beside it.
func (n *node) kill() {
	if n.process == nil {
		return
	}
	_ = syscall.Kill(-n.process.Process.Pid, syscall.SIGKILL)
	_ = n.process.Wait()
	n.process = nil
}

// remove ends the last nodes for good, down to so many.
func (c *cluster) remove(count int) {
	gone := c.nodes[count:]
	c.change(func() { c.nodes = c.nodes[:count] })
	for _, n := range gone {
		n.kill()
	}
}

// place is what a node does in the cluster, as it sees itself.
type place struct {
	master bool
	slots  int
	other  int // of a master how many follow it; of a replica the port that it follows
}

// places are those of all nodes; an error while one of them is not well.
func (c *cluster) places(ctx context.Context) ([]place, error) {
	places := make([]place, len(c.nodes))
	for i, n := range c.nodes {
		text, err := n.client.ClusterNodes(ctx).Result()
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		info, err := n.client.Info(ctx, "replication").Result()
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		if state, err := n.client.ClusterInfo(ctx).Result(); err != nil || !strings.Contains(state, "cluster_state:ok") {
			return nil, fmt.Errorf("node %d: %s %w", i, state, err)
		}
		if lines := strings.Count(strings.TrimSpace(text), "\n") + 1; lines != len(c.nodes) || strings.Contains(text, "fail") {
			return nil, fmt.Errorf("node %d sees\n%s", i, text)
		}
		places[i].master = strings.Contains(info, "role:master")
		places[i].other = field(info, "connected_slaves:")
		if !places[i].master {
			places[i].other = field(info, "master_port:")
			if !strings.Contains(info, "master_link_status:up") {
				return nil, fmt.Errorf("node %d has no copy yet", i)
			}
		}
		places[i].slots = owned(text)
	}
	return places, nil
}

func field(info, name string) int {
	_, rest, _ := strings.Cut(info, name)
	digits, _, _ := strings.Cut(rest, "\r")
	n, _ := strconv.Atoi(digits) // -1 would do no better than 0
	return n
}

// owned counts the slots in the line of the node that is asked.
func owned(text string) (total int) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if !strings.Contains(words[2], "myself") {
			continue
		}
		for _, r := range words[8:] {
			first, last, ranged := strings.Cut(r, "-")
			from, err := strconv.Atoi(first)
			to := from
			if ranged && err == nil {
				to, err = strconv.Atoi(last)
			}
			if err == nil {
				total += to - from + 1
			}
		}
	}
	return total
}

// requireWhole waits until half of the nodes are masters of as many slots each, and each has
// a replica.
func (c *cluster) requireWhole(within time.Duration) []place {
	c.t.Helper()
	var places []place
	c.eventually(within, fmt.Sprintf("%d nodes form a cluster", len(c.nodes)), func(ctx context.Context) (err error) {
		if places, err = c.places(ctx); err != nil {
			return err
		}
		masters := 0
		for _, p := range places {
			share := 2 * 16384 / len(places)
			if p.master {
				masters++
			}
			if p.master && (p.other != 1 || p.slots < share*95/100 || p.slots > share*105/100) {
				return fmt.Errorf("%+v", places)
			}
		}
		if masters != len(places)/2 {
			return fmt.Errorf("%+v", places)
		}
		return nil
	})
	return places
}

func (c *cluster) eventually(within time.Duration, what string, check func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	begin, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			c.t.Logf("%s after %.1f s", what, time.Since(begin).Seconds())
			return
		}
		select {
		case <-ctx.Done():
			for _, n := range c.nodes {
				c.t.Logf("node %d:\n%s", n.index, read(c.t, filepath.Join(n.dir, "log")))
			}
			c.t.Fatalf("%s: not within %s: %v", what, within, err)
		case <-tick.C:
		}
	}
}

// connect is a client as the service of this name has it.
func (c *cluster) connect(service string) *redis.Client {
	c.t.Helper()
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, net.JoinHostPort(c.host(n.index), strconv.Itoa(n.port)))
	}
	config := redistest.Config(c.t, addrs...)
	config.CAFile, config.TLSService = c.files.CA, "redis"
	config.LeafFile = filepath.Join(c.nodes[0].dir, "secrets/tls/leaf.pem")
	if err := os.WriteFile(config.CredentialsFile, []byte(service+":"+passwords[service]+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	client, err := redis.Open(config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func freePort(t *testing.T) int {
	t.Helper()
	_, text, err := net.SplitHostPort(redistest.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
