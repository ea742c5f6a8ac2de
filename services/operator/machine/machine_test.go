package machine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/operator/machine"
)

// The scripts make the folders and build the images that this package names.
func TestWhereTheScriptsPutThings(t *testing.T) {
	t.Parallel()
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	lib, err := os.ReadFile(filepath.Join(root, "vagrant/provision/lib.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"STATE": machine.State, "CACHE": machine.Cache, "LOGS": machine.Logs, "RUN": machine.Run, "BIN": machine.Bin, "VERSION": machine.Version,
	} {
		if line := "\n" + name + "=" + value; !strings.Contains(string(lib), line+"\n") && !strings.Contains(string(lib), line+" ") {
			t.Errorf("vagrant/provision/lib.sh has another %s than %s", name, value)
		}
	}
}

func TestOutsideTheRepositoryThereIsNoRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	if root, err := machine.Root(); err == nil {
		t.Errorf("found %s", root)
	}
}
