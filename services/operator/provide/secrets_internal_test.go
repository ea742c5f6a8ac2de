package provide

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a job takes from another is there before, and it is an item that the other has.
func TestSecretsAreInOrder(t *testing.T) {
	t.Parallel()
	order, items, err := readSecrets("../../../jobs/secrets.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for job, its := range items {
		for key, i := range its {
			from, other := i.source()
			if from == "" {
				continue
			}
			if _, ok := items[from][other]; !ok || slices.Index(order, from) > slices.Index(order, job) {
				t.Errorf("%s of %s is from %s, which is not there before", key, job, i.From)
			}
		}
	}
	if tokens := items["gateway"]; len(tokens) < len(Tokens) {
		t.Errorf("gateway: %v", tokens)
	}
	for _, name := range Tokens {
		if i, ok := items["gateway"][name+"_token"]; !ok || i != (item{}) {
			t.Errorf("the token %s: %v, %v", name, i, ok)
		}
	}
	for service, database := range Databases {
		for _, login := range []string{"_a", "_b"} {
			if _, ok := items["migrate"][database+login+"_password"]; !ok {
				t.Errorf("%s has no password for %s", service, database+login)
			}
		}
	}
}

func TestSecretsInACircleAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`a = { x = { from = "b.y" } }` + "\n" + `b = { y = { from = "a.x" } }`,
		`a = { x = { from = "missing.y" } }`,
	} {
		file := filepath.Join(t.TempDir(), "secrets.hcl")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readSecrets(file); err == nil || !strings.Contains(err.Error(), "in a circle") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
