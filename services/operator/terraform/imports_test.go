package terraform

import (
	"path/filepath"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/machine"
	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
)

const operator = "5d0f1f0e-59a4-4a3c-9d0b-30a3a6f3f3c2"

// Each policy and role of a task is imported, and no other.
func TestImports(t *testing.T) {
	t.Parallel()
	c := operatortest.StartLocked(t, operator)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	keys := provide.Keys{Operator: operator, JWKS: c.Nomad.Address() + "/.well-known/jwks.json"}
	if err := provide.Access(t.Context(), c, filepath.Join(root, "jobs/acl"), keys); err != nil {
		t.Fatal(err)
	}
	// What a task had that is no more.
	other := &consul.ACLPolicy{Name: "nomad-gone-gone", Rules: `node_prefix "" { policy = "read" }`}
	if _, _, err := c.Consul.ACL().PolicyCreate(other, nil); err != nil {
		t.Fatal(err)
	}
	all, err := Imports(t.Context(), c, root, "module.shop")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob(filepath.Join(root, "jobs/acl/consul/*.hcl"))
	if err != nil || len(all) != 2*len(tasks) {
		t.Errorf("%d imports for %d policies with a role each, %v", len(all), len(tasks), err)
	}
	text := ""
	for _, i := range all {
		text += i.String()
		if len(i.ID) != 36 {
			t.Errorf("%s is known by %q", i.To, i.ID)
		}
	}
	for _, place := range []string{"consul_acl_policy.task", "consul_acl_role.task"} {
		if !strings.Contains(text, `  to = module.shop.module.access.`+place+`["nomad-redis-redis"]`+"\n") {
			t.Errorf("there is no %s of redis in\n%s", place, text)
		}
	}
	if strings.Contains(text, "agent-") {
		t.Error("the agents' policies are imported")
	}
}

// A volume has its name for a key, and that of its host where each host has one.
func TestPlacesOfVolumes(t *testing.T) {
	t.Parallel()
	found := places(
		[]*nomad.HostVolumeStub{
			{ID: "v1", Name: "patroni[0]", NodeID: "n1", Namespace: "default"},
			{ID: "v2", Name: "backup", NodeID: "n1", Namespace: "default"},
			{ID: "v3", Name: "backup", NodeID: "n2", Namespace: "default"},
		},
		[]*nomad.NodeListStub{{ID: "n1", Name: "one"}, {ID: "n2", Name: "two"}})
	for to, id := range map[string]string{
		`module.volumes.nomad_dynamic_host_volume.this["patroni[0]"]`: "v1@default",
		`module.volumes.nomad_dynamic_host_volume.this["backup@one"]`: "v2@default",
		`module.volumes.nomad_dynamic_host_volume.this["backup@two"]`: "v3@default",
	} {
		if found[to] != id {
			t.Errorf("%s is %q", to, found[to])
		}
	}
}
