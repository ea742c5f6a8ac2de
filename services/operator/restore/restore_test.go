package restore

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/operatortest"
)

func TestStateOfAStep(t *testing.T) {
	t.Parallel()
	const pending, running, complete, failed, lost = nomad.AllocClientStatusPending, nomad.AllocClientStatusRunning,
		nomad.AllocClientStatusComplete, nomad.AllocClientStatusFailed, nomad.AllocClientStatusLost
	for _, step := range []struct {
		members int
		now     []string
		want    string
	}{
		{1, nil, pending},
		{1, []string{pending}, pending},
		{1, []string{running}, running},
		{1, []string{complete}, complete},
		{1, []string{failed}, failed},
		{1, []string{lost}, failed},
		{3, []string{complete, complete}, pending},
		{3, []string{complete, pending, running}, running},
		{3, []string{complete, complete, complete}, complete},
		{3, []string{complete, failed, running}, failed},
	} {
		var all []*nomad.AllocationListStub
		for _, status := range step.now {
			all = append(all, &nomad.AllocationListStub{ClientStatus: status})
		}
		if state := stateOf(all, step.members); state != step.want {
			t.Errorf("%d members, %q: %s, want %s", step.members, step.now, state, step.want)
		}
	}
}

// The settings that all members agree on outlive a restore; who led does not.
func TestForgetLeader(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	kv := c.Consul.KV()
	for key, value := range map[string]string{
		"service/patroni/config": "settings", "service/patroni/initialize": "1", "service/patroni/leader": "patroni-3",
		"service/patroni/members/patroni-3": "{}", "service/patroni/sync": "{}", "service/patroni/status": "{}", "redis/count": "6",
	} {
		if _, err := kv.Put(&consul.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := forgetLeader(t.Context(), c, "7261"); err != nil {
		t.Fatal(err)
	}
	pairs, _, err := kv.List("", nil)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]string{}
	for _, pair := range pairs {
		left[pair.Key] = string(pair.Value)
	}
	if want := map[string]string{"service/patroni/config": "settings", "service/patroni/initialize": "7261", "redis/count": "6"}; !maps.Equal(left, want) {
		t.Errorf("Consul has %v, want %v", left, want)
	}
}

// The job reads the last hundred restores, in their order.
func TestRemember(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	for i := range remembered + 2 {
		if err := remember(t.Context(), c, fmt.Sprintf("%d 1764410000.5 %d", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	known, err := c.Item(t.Context(), job, "restores")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(known, "\n")
	if last := len(lines) - 2; last != remembered-1 || lines[0] != "2 1764410000.5 2" || lines[last] != "101 1764410000.5 101" {
		t.Errorf("%d restores are known: %s", last+1, known)
	}
}
