package redis_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// All nodes come back on new ports, with nothing but what their volumes keep.
func TestTheClusterComesBackOnNewPorts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grow(6)
	c.requireWhole(time.Minute)
	for _, n := range c.nodes {
		n.kill()
	}
	c.change(func() {
		for _, n := range c.nodes {
			n.port, n.bus = freePort(t), freePort(t)
		}
	})
	for _, n := range c.nodes {
		c.start(n)
	}
	c.requireWhole(time.Minute)

	// A shard that loses both volumes is filled again by nodes that know nothing.
	lost := []*node{c.nodes[0]}
	for i, p := range c.mustPlaces() {
		if i > 0 && p.other == c.nodes[0].port {
			lost = append(lost, c.nodes[i])
		}
	}
	if len(lost) == 1 { // node 0 is a replica: its master is the other one
		for i, n := range c.nodes {
			if c.mustPlaces()[0].other == n.port {
				lost = append(lost, c.nodes[i])
			}
		}
	}
	for _, n := range lost {
		n.kill()
		if err := os.Remove(filepath.Join(n.dir, "data/nodes.conf")); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range lost {
		c.start(n)
	}
	c.requireWhole(2 * time.Minute)
}

func (c *cluster) mustPlaces() []place {
	c.t.Helper()
	places, err := c.places(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return places
}

// The program ends with its server, as it ended; SIGTERM ends both in order.
func TestTheServersEndIsTheProgramsEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grow(1)
	n := c.nodes[0]
	answers := func(ctx context.Context) error { return n.client.Ping(ctx).Err() }
	c.eventually(10*time.Second, "the server answers", answers)
	if err := n.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := n.process.Wait(); err != nil {
		t.Errorf("ended by SIGTERM: %v", err)
	}
	if log := string(read(t, filepath.Join(n.dir, "log"))); !strings.Contains(log, "ready to exit") {
		t.Errorf("Redis did not end in order:\n%s", log)
	}

	c.start(n)
	c.eventually(10*time.Second, "the server answers again", answers)
	info, err := n.client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(field(info, "process_id:"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := n.process.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("ended after its server was killed with %v", err)
	}
	n.process = nil
}
