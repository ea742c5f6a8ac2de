//go:build drill

package drills

import (
	"context"
	"strconv"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/hosts"
)

// addWithin is how long one machine more may take to be made and to join.
const addWithin = 3 * time.Minute

// addMachine has one machine more join the others. It is taken away when the test ends.
func addMachine(t *testing.T) {
	t.Helper()
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted, began := len(all)+1, time.Now()
	t.Cleanup(func() {
		if now, err := hosts.All(context.WithoutCancel(t.Context())); err == nil && len(now) >= wanted {
			removeLast(t)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), addWithin)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, "lab", "up", "--given", "--machines", strconv.Itoa(wanted)).CombinedOutput()
	if err != nil {
		t.Fatalf("add a machine: %v\n%s", err, out)
	}
	if all, err = hosts.All(t.Context()); err != nil || len(all) != wanted {
		t.Fatalf("there are %d machines, not %d: %v", len(all), wanted, err)
	}
	nodeOf(t, all[wanted-1])
	t.Logf("%s joined after %.1f s", all[wanted-1].Name, time.Since(began).Seconds())
}

// removeLast takes the last machine away for good: drained, ended, forgotten.
func removeLast(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), drainTime+addWithin)
	defer cancel()
	all, err := hosts.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	id := nodeOf(t, last)
	drainOut(ctx, t, last, id)
	if err := last.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	cluster.Reopen()
	err = shoptest.Poll(ctx, time.Minute, func(context.Context) error {
		if err := cluster.Consul(t).Agent().ForceLeavePrune(last.Name); err != nil {
			return err
		}
		_, _, err := cluster.Nomad(t).Nodes().Purge(id, nil)
		return err
	})
	if err != nil {
		t.Errorf("forget %s: %v", last.Name, err)
	}
}
