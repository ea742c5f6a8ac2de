package terraform_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
)

// Passwords survive whatever happens to Terraform: an apply that breaks off, a rotation, a state that is lost.
func TestPasswordsSurvive(t *testing.T) {
	t.Parallel()
	standInAlone(t)
	b, args := initialised(t, "environments/local")
	apply := append([]string{"apply", "-auto-approve", "-no-color"}, args...)

	code, said := b.run(t, []string{"STANDIN_FAILS=nomad_variable.nomad/jobs/books"}, apply...)
	if code == 0 || !strings.Contains(said, "STANDIN_FAILS") {
		t.Fatalf("the apply did not break off: exit %d\n%s", code, said)
	}
	before := b.variables(t)
	if len(before) == 0 || before["nomad/jobs/books"] != nil {
		t.Fatalf("it has broken off at another place: %d variables", len(before))
	}
	b.must(t, apply...)
	after := b.variables(t)
	for path, items := range before {
		if !maps.Equal(items, after[path]) {
			t.Errorf("%s changed after an apply that broke off", path)
		}
	}
	agree(t, after)

	after["nomad/jobs/books"]["db_user"] = "bookdb_b" // as 'db rotate' does
	b.writeVariable(t, "nomad/jobs/books", after["nomad/jobs/books"])
	if code, said := b.run(t, nil, append([]string{"plan", "-detailed-exitcode", "-no-color"}, args...)...); code != 0 {
		t.Errorf("a rotation makes a difference: exit %d\n%s", code, said)
	}

	for _, file := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(b.dir, file)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for i := range apply {
		apply[i] = strings.Replace(apply[i], "existing=false", "existing=true", 1)
	}
	b.must(t, apply...)
	for path, items := range b.variables(t) {
		if !maps.Equal(items, after[path]) {
			t.Errorf("%s changed after the state was lost", path)
		}
	}
	noSecretIn(t, b)
}

// agree checks that what one job's variable takes from another's is the same there.
func agree(t *testing.T, variables map[string]map[string]string) {
	t.Helper()
	parsed, diags := hclparse.NewParser().ParseHCLFile(filepath.Join(repository, "jobs", "secrets.hcl"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	attributes, diags := parsed.Body.JustAttributes()
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	compared := 0
	for job, attribute := range attributes {
		value, diags := attribute.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for key, item := range value.AsValueMap() {
			if !item.Type().IsObjectType() || !item.Type().HasAttribute("from") {
				continue
			}
			source, of, _ := strings.Cut(item.GetAttr("from").AsString(), ".")
			here, there := variables["nomad/jobs/"+job][key], variables["nomad/jobs/"+source][of]
			if compared++; here == "" || here != there {
				t.Errorf("%s of %s is not %s of %s", key, job, of, source)
			}
		}
	}
	if compared < 10 {
		t.Errorf("too little was compared: %d", compared)
	}
}
