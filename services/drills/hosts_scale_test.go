//go:build drill

package drills

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/hosts"
)

const (
	// addWithin is how long one machine more may take to be made and to join.
	addWithin = 3 * time.Minute
	// moveWithin is how long all members and nodes of Redis of a machine may take to move.
	moveWithin = 8 * time.Minute
)

// inLab runs the operator's command on a machine of the lab that stays.
func inLab(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, moveWithin)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, append([]string{"lab", "shop"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	t.Logf("%q took %.1f s\n%s", args, time.Since(began).Seconds(), out)
}

// addMachine has one machine more join the others, and members move to it. It is taken away when the test ends.
func addMachine(t *testing.T) {
	t.Helper()
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted := len(all) + 1
	t.Cleanup(func() {
		if now, err := hosts.All(context.WithoutCancel(t.Context())); err == nil && len(now) >= wanted {
			removeMachine(t, now[len(now)-1])
		}
	})
	machinesUp(t, wanted)
}

// machinesUp has so many machines be there, by the lab's command, each with its share of what has volumes.
func machinesUp(t *testing.T, wanted int) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), addWithin)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, "lab", "up", "--given", "--machines", strconv.Itoa(wanted)).CombinedOutput()
	if err != nil {
		t.Fatalf("add a machine: %v\n%s", err, out)
	}
	all, err := hosts.All(t.Context())
	if err != nil || len(all) != wanted {
		t.Fatalf("there are %d machines, not %d: %v", len(all), wanted, err)
	}
	nodeOf(t, all[wanted-1])
	t.Logf("%d machines were there after %.1f s", wanted, time.Since(began).Seconds())
	inLab(t.Context(), t, "machine", "balance")
}

// removeMachine takes a machine away for good: emptied, ended, forgotten.
func removeMachine(t *testing.T, h hosts.Host) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	inLab(ctx, t, "machine", "remove", h.Name)
	if err := h.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	cluster.Reopen()
	inLab(ctx, t, "machine", "remove", h.Name)
}

// removeLast takes the last machine away.
func removeLast(t *testing.T, _ *scene) {
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	removeMachine(t, all[len(all)-1])
}

// replaceServer takes away a machine with servers of Consul and Nomad, that of the database's leader where it can be, and has another
// take its place. The first has the store of the second backup repository, and stays.
func replaceServer(t *testing.T, s *scene) {
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	goes := all[1]
	if at := slices.IndexFunc(all[1:3], func(h hosts.Host) bool { return h.Name == s.victim.Name }); at >= 0 {
		goes = all[1+at]
	}
	removeMachine(t, goes)
	machinesUp(t, len(all))
}
