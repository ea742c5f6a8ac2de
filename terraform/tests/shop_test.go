//go:build e2e

package terraform_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// Both ways lead to one state: what Terraform would make on this machine is what the shop that 'up' made has. It reads alone.
func TestTerraformMakesWhatUpMade(t *testing.T) {
	standInAlone(t)
	shop, err := cluster.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	tags, err := machine.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	versions, err := json.Marshal(tags)
	if err != nil {
		t.Fatal(err)
	}
	b, args := initialised(t, "environments/local")
	for i := range args {
		if strings.HasPrefix(args[i], "-var=versions=") {
			args[i] = "-var=versions=" + string(versions)
		}
	}
	b.must(t, append([]string{"apply", "-auto-approve", "-no-color"}, args...)...)
	made := b.state(t)

	t.Run("entries", func(t *testing.T) { sameEntries(t, shop, made) })
	t.Run("jobs", func(t *testing.T) { sameJobs(t, made) })
	t.Run("policies", func(t *testing.T) { samePolicies(t, shop, made) })
	t.Run("volumes", func(t *testing.T) { sameVolumes(t, shop, made) })
}

func word(of map[string]any, name string) string {
	said, _ := of[name].(string)
	return said
}

func sameEntries(t *testing.T, shop *cluster.Cluster, made resources) {
	for address, of := range made["consul_config_entry"] {
		var raw map[string]any
		if err := json.Unmarshal([]byte(word(of, "config_json")), &raw); err != nil {
			t.Fatal(err)
		}
		raw["Kind"], raw["Name"] = of["kind"], of["name"]
		want, err := consul.DecodeConfigEntry(raw)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		has, _, err := shop.Consul.ConfigEntries().Get(word(of, "kind"), word(of, "name"), cluster.ConsulQuery(t.Context()))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if a, b := entryText(t, want), entryText(t, has); a != b {
			t.Errorf("%s: Terraform would make\n%s\nand the shop has\n%s", address, a, b)
		}
	}
}

// entryText is an entry without what Consul counts.
func entryText(t *testing.T, entry consul.ConfigEntry) string {
	t.Helper()
	text, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, counted := range []string{"CreateIndex", "ModifyIndex", "Hash", "Namespace", "Partition"} {
		delete(fields, counted)
	}
	text, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameJobs has Nomad compare each job, with the variables that Terraform gives it, with the one that runs.
func sameJobs(t *testing.T, made resources) {
	settings, err := machine.Operator()
	if err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	whole, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	for address, of := range made["nomad_job"] {
		file := filepath.Join(t.TempDir(), "job.nomad.hcl")
		if err := os.WriteFile(file, []byte(word(of, "jobspec")), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"job", "plan", "-no-color"}
		hcl2, _ := of["hcl2"].([]any)
		vars, _ := hcl2[0].(map[string]any)["vars"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			value, _ := vars[name].(string)
			if name == "root" {
				value = whole
			}
			args = append(args, "-var="+name+"="+value)
		}
		cmd := exec.CommandContext(t.Context(), "/opt/bookstore/bin/nomad", append(args, file)...)
		cmd.Dir, cmd.Env = whole, env
		if out, err := cmd.CombinedOutput(); err != nil { // 1 where something differs
			t.Errorf("%s: %v\n%s", address, err, out)
		}
	}
}

func samePolicies(t *testing.T, shop *cluster.Cluster, made resources) {
	for address, of := range made["consul_acl_policy"] {
		has, _, err := shop.Consul.ACL().PolicyReadByName(word(of, "name"), cluster.ConsulQuery(t.Context()))
		if err != nil || has == nil || has.Rules != word(of, "rules") {
			t.Errorf("%s: the shop has another (%v)", address, err)
		}
	}
	for address, of := range made["nomad_acl_policy"] {
		has, _, err := shop.Nomad.ACLPolicies().Info(word(of, "name"), cluster.Query(t.Context()))
		if err != nil || has.Rules != word(of, "rules_hcl") {
			t.Errorf("%s: the shop has another (%v)", address, err)
		}
	}
}

// sameVolumes compares names: on which host each is was decided when it was made.
func sameVolumes(t *testing.T, shop *cluster.Cluster, made resources) {
	want, has := map[string]bool{}, map[string]bool{}
	for _, of := range made["nomad_dynamic_host_volume"] {
		want[word(of, "name")] = true
	}
	all, _, err := shop.Nomad.HostVolumes().List(&nomad.HostVolumeListRequest{}, cluster.Query(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	more := regexp.MustCompile(`^redis\[([6-9]|1[01])\]$`) // those of 'redis scale'
	for _, volume := range all {
		if !more.MatchString(volume.Name) {
			has[volume.Name] = true
		}
	}
	if !maps.Equal(want, has) {
		t.Errorf("Terraform would make %v, and the shop has %v", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(has)))
	}
}
