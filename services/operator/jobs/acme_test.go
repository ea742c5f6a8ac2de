package jobs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/operator/jobs"
	"bookstore/services/operator/machine"
)

// Only who names domains has the job acme.
func TestCertified(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`datacenter = "dc1"`: "false",
		`acme = { domains = [], email = "", directory = "x", ca = "" }`:  "false",
		`acme = { domains = ["a.example"], email = "", directory = "" }`: "true",
		`acme = { email = "" }`:  "has no domains",
		`acme = { domains = 1 }`: "are no list",
		`acme = {`:               "read the variables",
	} {
		file := filepath.Join(t.TempDir(), "vars.hcl")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		is, err := jobs.Files{Vars: file}.Certified()
		switch {
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %s", text, err, want)
		case err == nil && want != map[bool]string{true: "true", false: "false"}[is]:
			t.Errorf("%s: %t, want %s", text, is, want)
		}
	}
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one.hcl", "many.hcl"} {
		if is, err := (jobs.Files{Vars: filepath.Join(root, "jobs/vars", name)}).Certified(); is || err != nil {
			t.Errorf("%s: %t, %v", name, is, err)
		}
	}
}
