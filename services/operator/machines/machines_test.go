package machines_test

import (
	"io"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/console"
	"bookstore/services/operator/machines"
	"bookstore/services/operator/operatortest"
)

// Without a machine that takes work everything is refused before it changes anything. What moves on machines is tried in the lab
// (services/drills).
func TestNothingIsMovedWithoutMachines(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	f := machines.Fleet{Cluster: c, Out: console.Console{Out: io.Discard}}
	for name, count := range map[string]int{"patroni": 5, "redis": 6} {
		task := nomad.NewTask(name, "docker").SetConfig("image", "bookstore/"+name)
		job := nomad.NewServiceJob(name, name, "global", 50).AddDatacenter("dc1").AddTaskGroup(nomad.NewTaskGroup(name, count).AddTask(task))
		if _, _, err := c.Nomad.Jobs().Register(job, nil); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := f.Machines(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	own, err := c.Consul.Agent().NodeName()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"nowhere": "there is no machine nowhere", own: "this is " + own + " itself"} {
		for _, lost := range []bool{false, true} {
			if err := f.Remove(t.Context(), name, lost); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("remove %s: %v, want %q", name, err, want)
			}
		}
	}

	// A node that rested when a run was broken off, and was purged since.
	if _, err := c.Consul.KV().Put(&consul.KVPair{Key: "machines/resting", Value: []byte("5d0f1f0e-59a4-4a3c-9d0b-30a3a6f3f3c2")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Balance(t.Context()); err == nil || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("balance: %v", err)
	}
	if pair, _, err := c.Consul.KV().Get("machines/resting", nil); err != nil || pair != nil {
		t.Errorf("the note of a node that is gone stays: %v, %v", pair, err)
	}
}
