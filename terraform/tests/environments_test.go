package terraform_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// resources are the arguments of what a state has in all its modules, by type and address.
type resources map[string]map[string]map[string]any

type stateModule struct {
	Resources []struct {
		Mode, Type, Address string
		Values              map[string]any
	}
	Children []stateModule `json:"child_modules"`
}

func (r resources) add(m stateModule) {
	for _, resource := range m.Resources {
		if resource.Mode != "managed" {
			continue
		}
		if r[resource.Type] == nil {
			r[resource.Type] = map[string]map[string]any{}
		}
		r[resource.Type][resource.Address] = resource.Values
	}
	for _, child := range m.Children {
		r.add(child)
	}
}

// state is what Terraform keeps of the folder.
func (b bench) state(t *testing.T) resources {
	t.Helper()
	var shown struct {
		Values struct {
			Root stateModule `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(b.must(t, "show", "-json")), &shown); err != nil {
		t.Fatal(err)
	}
	found := resources{}
	found.add(shown.Values.Root)
	return found
}

const certificate = "-----BEGIN CERTIFICATE-----\nb2Y=\n-----END CERTIFICATE-----\n"

// inputs are an environment's settings as a user would write them: example.tfvars, where it has one, and for those of a shop
// what 'go tool shop' would print.
func inputs(t *testing.T, b bench, folder string) (args []string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(b.dir, "example.tfvars")); err == nil {
		args = append(args, "-var-file=example.tfvars")
	}
	access := t.TempDir()
	for _, file := range []string{"ca.pem", "s3.pem", "s3-key.pem", "door.pem", "door-key.pem"} {
		// What is a key in the folder must not be found in the state.
		text := certificate
		if strings.HasSuffix(file, "-key.pem") {
			text = "-----BEGIN PRIVATE KEY-----\nVGhlIGtleSBvZiAifile" + file + "\n-----END PRIVATE KEY-----\n"
		}
		if err := os.WriteFile(filepath.Join(access, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := json.Marshal(imageTags(t))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"ca_file": filepath.Join(access, "ca.pem"), "access": access, "agent_ca": strings.TrimSpace(certificate), "existing": "false",
		"hosts": `["host1","host2","host3","host4","host5"]`, "versions": string(tags),
	}
	for _, variable := range blocks(t, folder)["variable"] {
		if value, ok := values[variable.Labels[0]]; ok {
			args = append(args, "-var="+variable.Labels[0]+"="+value)
		}
	}
	return args
}

// imageTags has a tag for each image that a job names by a variable.
func imageTags(t *testing.T) map[string]string {
	t.Helper()
	tags := map[string]string{}
	for _, job := range jobs(t) {
		text, err := os.ReadFile(filepath.Join(repository, "jobs", job+".nomad.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^variable "(?:([a-z0-9_]+)_)?version"`).FindAllStringSubmatch(string(text), -1) {
			image := found[1]
			if image == "" {
				image = job
			}
			tags[image] = "0.1.0-0123456789abcdef"
		}
	}
	return tags
}

// jobs are those that there are files of, but for the restore, which is no state, and acme, which no environment has a domain for.
func jobs(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "jobs", "*.nomad.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".nomad.hcl"); name != "restore" && name != "acme" {
			names = append(names, name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("too few jobs: %v", names)
	}
	return names
}

// environments are the folders that users apply.
func environments(t *testing.T) (found []string) {
	t.Helper()
	for _, folder := range folders(t) {
		if strings.HasPrefix(folder, "environments/") {
			found = append(found, folder)
		}
	}
	return found
}

// standInAlone skips what would make true things.
func standInAlone(t *testing.T) {
	t.Helper()
	if official {
		t.Skip("an apply makes things: TERRAFORM_PROVIDERS=official has folders validated and their own tests run")
	}
}

// initialised is an environment in a place of its own, its state in a file.
func initialised(t *testing.T, folder string) (b bench, args []string) {
	t.Helper()
	b = newBench(t, tree(t), folder)
	local := "terraform {\n  backend \"local\" {}\n}\n"
	if err := os.WriteFile(filepath.Join(b.dir, "tests_override.tf"), []byte(local), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must(t, "init", "-no-color")
	return b, inputs(t, b, folder)
}

// Each environment is made from nothing; then nothing is left to do, and no secret is in its state.
func TestEachEnvironmentIsMadeFromNothing(t *testing.T) {
	t.Parallel()
	standInAlone(t)
	for _, folder := range environments(t) {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			b, args := initialised(t, folder)
			b.must(t, append([]string{"apply", "-auto-approve", "-no-color"}, args...)...)
			if code, said := b.run(t, nil, append([]string{"plan", "-detailed-exitcode", "-no-color"}, args...)...); code != 0 {
				t.Errorf("the second plan is not empty: exit %d\n%s", code, said)
			}
			made := b.state(t)
			if len(made) == 0 {
				t.Error("nothing was made")
			}
			if !strings.HasSuffix(folder, "/machines") {
				nothingForgotten(t, made)
			}
			noSecretIn(t, b)
		})
	}
}

// noSecretIn looks for the value of each variable of Nomad's in the state.
func noSecretIn(t *testing.T, b bench) {
	t.Helper()
	state, err := os.ReadFile(filepath.Join(b.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state), "PRIVATE KEY") {
		t.Error("a key is in the state")
	}
	for path, items := range b.variables(t) {
		for key, value := range items {
			if len(value) >= 16 && !strings.HasPrefix(value, "-----BEGIN CERTIFICATE") && strings.Contains(string(state), value) {
				t.Errorf("%s of %s is in the state", key, path)
			}
		}
	}
}

// variables are those that the stand-in has for Nomad, by their paths.
func (b bench) variables(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.world, "nomad_variable", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var items map[string]string
		if err := json.Unmarshal(text, &items); err != nil {
			t.Fatal(err)
		}
		path, err := url.PathUnescape(strings.TrimSuffix(filepath.Base(file), "@default.json"))
		if err != nil {
			t.Fatal(err)
		}
		found[path] = items
	}
	return found
}

// writeVariable is somebody else's change of a variable.
func (b bench) writeVariable(t *testing.T, path string, items map[string]string) {
	t.Helper()
	text, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.world, "nomad_variable", url.PathEscape(path+"@default")+".json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// nothingForgotten checks that a shop has every job and every entry of the mesh that there is a file of.
func nothingForgotten(t *testing.T, made resources) {
	t.Helper()
	var entries, ids []string
	for _, of := range made["consul_config_entry"] {
		entries = append(entries, fmt.Sprint(of["kind"], "/", of["name"]))
	}
	slices.Sort(entries)
	if want := meshEntries(t); !slices.Equal(entries, want) {
		t.Errorf("config entries %v, and not %v", entries, want)
	}
	for _, of := range made["nomad_job"] {
		ids = append(ids, fmt.Sprint(of["id"]))
	}
	slices.Sort(ids)
	if want := jobs(t); !slices.Equal(ids, want) {
		t.Errorf("jobs %v, and not %v", ids, want)
	}
}

// meshEntries are those that there are files of, as kind/name.
func meshEntries(t *testing.T) (entries []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "jobs", "mesh", "*.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, diags := hclparse.NewParser().ParseHCLFile(file)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		body, ok := parsed.Body.(*hclsyntax.Body)
		if !ok {
			t.Fatalf("%s is not HCL's own syntax", file)
		}
		kind, name := literal(body, "Kind"), literal(body, "Name")
		if name == "" { // a kind with one entry
			name = kind
		}
		entries = append(entries, kind+"/"+name)
	}
	slices.Sort(entries)
	return entries
}
