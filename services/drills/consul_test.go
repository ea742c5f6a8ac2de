//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

const (
	// awayFor is longer than any session lives: the leader stays because its members say so.
	awayFor = time.Minute
	// heldFor is how long they hold to what they said (ttl): until then nobody else can lead.
	heldFor = 20 * time.Second
)

// What started Consul, and where that keeps its process's id.
const (
	consulStart = "60-consul.sh"
	consulPID   = "/run/bookstore/consul.pid"
)

// takeConsulAway ends Consul's one server and starts it again after a minute.
func takeConsulAway(t *testing.T, _ *scene) {
	text, err := os.ReadFile(consulPID)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("%s: %v", consulPID, err)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(name)) != "consul" {
		t.Fatalf("process %d is %q, not consul: %v", pid, name, err)
	}
	t.Cleanup(func() { startConsul(t) })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	shoptest.Eventually(t, 30*time.Second, "Consul ends", func(context.Context) error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New("it runs")
		}
		return nil
	})
	shoptest.Rest(t.Context(), awayFor)
	startConsul(t)
	shoptest.Rest(t.Context(), heldFor)
}

// startConsul does nothing where it runs.
func startConsul(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := cluster.Script(ctx, consulStart).CombinedOutput(); err != nil {
		t.Errorf("start Consul: %v\n%s", err, out)
	}
}
