package terraform_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// blocks are those of a folder's files, by their type.
func blocks(t *testing.T, folder string) map[string][]*hclsyntax.Block {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", folder, len(files), err)
	}
	found := map[string][]*hclsyntax.Block{}
	for _, file := range files {
		parsed, diags := hclparse.NewParser().ParseHCLFile(file)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
			found[block.Type] = append(found[block.Type], block)
		}
	}
	return found
}

// literal is a string that an attribute is written as, or nothing.
func literal(body *hclsyntax.Body, name string) string {
	attribute, ok := body.Attributes[name]
	if !ok {
		return ""
	}
	value, diags := attribute.Expr.Value(nil)
	if diags.HasErrors() || value.Type() != cty.String || value.IsNull() {
		return ""
	}
	return value.AsString()
}

// Who calls a module learns from its variables what it takes, and is told at the plan what it does not.
func TestVariablesAreTypedDescribedAndValidated(t *testing.T) {
	t.Parallel()
	for _, folder := range folders(t) {
		for _, variable := range blocks(t, folder)["variable"] {
			name := folder + ": variable " + variable.Labels[0]
			if len(literal(variable.Body, "description")) < 10 {
				t.Errorf("%s has no description", name)
			}
			kind, ok := variable.Body.Attributes["type"]
			if !ok || hcl.ExprAsKeyword(kind.Expr) == "any" {
				t.Errorf("%s has no type", name)
				continue
			}
			validated := slices.ContainsFunc(variable.Body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "validation" })
			if !validated && hcl.ExprAsKeyword(kind.Expr) != "bool" { // its type says it all
				t.Errorf("%s has no validation", name)
			}
		}
	}
}

// Outputs are in the state, and on screens: none is a secret.
func TestOutputsAreDescribedAndNoSecrets(t *testing.T) {
	t.Parallel()
	for _, folder := range folders(t) {
		for _, output := range blocks(t, folder)["output"] {
			name := folder + ": output " + output.Labels[0]
			if len(literal(output.Body, "description")) < 10 {
				t.Errorf("%s has no description", name)
			}
			if _, ok := output.Body.Attributes["sensitive"]; ok {
				t.Errorf("%s is a secret", name)
			}
		}
	}
}

var pinned = regexp.MustCompile(`^~> \d+\.\d+(\.\d+)?$`)

// required is what a folder says that it needs of Terraform and of each provider.
func required(t *testing.T, folder string) (version string, providers map[string]provider) {
	t.Helper()
	providers = map[string]provider{}
	for _, block := range blocks(t, folder)["terraform"] {
		if said := literal(block.Body, "required_version"); said != "" {
			version = said
		}
		for _, inner := range block.Body.Blocks {
			if inner.Type != "required_providers" {
				continue
			}
			for name, attribute := range inner.Body.Attributes {
				value, diags := attribute.Expr.Value(nil)
				if diags.HasErrors() || !value.Type().IsObjectType() {
					t.Fatalf("%s: %s is no object", folder, name)
				}
				p := provider{Source: value.GetAttr("source").AsString()}
				if value.Type().HasAttribute("version") {
					p.Version = value.GetAttr("version").AsString()
				}
				providers[name] = p
			}
		}
	}
	return version, providers
}

// Each folder says which Terraform and which providers it was written for, and all say the same. The stand-in's facts are of
// those versions.
func TestVersionsArePinned(t *testing.T) {
	t.Parallel()
	known, err := factsOfProviders()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, folder := range folders(t) {
		version, providers := required(t, folder)
		if version != ">= 1.11, < 2.0" {
			t.Errorf("%s: required_version is %q", folder, version)
		}
		for name, p := range providers {
			if p.Source == "terraform.io/builtin/terraform" {
				continue
			}
			if !pinned.MatchString(p.Version) {
				t.Errorf("%s: the version of %s is %q, and not like ~> 2.6", folder, name, p.Version)
			}
			if before, ok := said[p.Source]; ok && before != p.Version {
				t.Errorf("%s: %s is %s, elsewhere %s", folder, p.Source, p.Version, before)
			}
			said[p.Source] = p.Version
			if known[name].Source != p.Source || !strings.HasPrefix(known[name].Version+".", strings.TrimPrefix(p.Version, "~> ")+".") {
				t.Errorf("%s: the stand-in knows %v, and not %s %s", folder, known[name], p.Source, p.Version)
			}
		}
	}
}

// Without the name of its provider a resource would be looked for at hashicorp's, whoever makes it.
func TestEachResourceNamesItsProvider(t *testing.T) {
	t.Parallel()
	for _, folder := range folders(t) {
		_, providers := required(t, folder)
		for _, kind := range []string{"resource", "data", "ephemeral"} {
			for _, block := range blocks(t, folder)[kind] {
				name, _, _ := strings.Cut(block.Labels[0], "_")
				if _, ok := providers[name]; !ok && name != "terraform" {
					t.Errorf("%s: %s %s: required_providers has no %s, only %v", folder, kind, block.Labels[0], name, slices.Sorted(maps.Keys(providers)))
				}
			}
		}
	}
}

// What holds the shop's data is not destroyed by a slip.
func TestDataIsNotDestroyed(t *testing.T) {
	t.Parallel()
	keepers := []string{"nomad_dynamic_host_volume", "hcloud_server", "libvirt_volume.disk"}
	seen := 0
	for _, folder := range folders(t) {
		for _, block := range blocks(t, folder)["resource"] {
			if !slices.Contains(keepers, block.Labels[0]) && !slices.Contains(keepers, block.Labels[0]+"."+block.Labels[1]) {
				continue
			}
			seen++
			kept := slices.ContainsFunc(block.Body.Blocks, func(inner *hclsyntax.Block) bool {
				_, ok := inner.Body.Attributes["prevent_destroy"]
				return inner.Type == "lifecycle" && ok
			})
			if !kept {
				t.Errorf("%s: %s %s has no prevent_destroy", folder, block.Labels[0], block.Labels[1])
			}
		}
	}
	if seen < 2 {
		t.Errorf("the rule has found too little: %d", seen)
	}
}

// A state has what it was made for, and a lock made here the hashes of stand-ins.
func TestNothingOfTerraformsIsCommitted(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "..").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "versions.tf") {
		t.Fatal("git lists no file of Terraform's")
	}
	for file := range strings.Lines(string(out)) {
		if theirs(strings.TrimSpace(file)) {
			t.Errorf("%s is committed", strings.TrimSpace(file))
		}
	}
}
