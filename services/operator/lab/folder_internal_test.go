package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bookstore/services/operator/console"
)

const repository = "../../.."

// Labs share what is made once, read-only, and nothing else.
func TestLabsHaveFoldersOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, of := range []Folder{Own, Vagrant} {
		args, err := of.Arguments(repository, "lab1")
		if err != nil {
			t.Fatal(err)
		}
		mounts := 0
		for i, arg := range args {
			if strings.Contains(arg, "@") {
				t.Errorf("the argument %s", arg)
			}
			if arg != "-v" {
				continue
			}
			mounts++
			own := strings.HasPrefix(args[i+1], string(of)+"/lab1/") || strings.HasPrefix(args[i+1], string(of)+"/archive:")
			if shared := strings.HasPrefix(args[i+1], cache+"/") && strings.HasSuffix(args[i+1], ":ro"); !own && !shared {
				t.Errorf("%s mounts %s", of, args[i+1])
			}
		}
		if mounts != 6 {
			t.Errorf("%d mounts: %q", mounts, args)
		}
	}
}

// What systemd needs is the same without folders; a value with spaces is one argument.
func TestRights(t *testing.T) {
	t.Parallel()
	flags, err := rights(repository)
	if err != nil || slices.Contains(flags, "-v") || slices.Contains(flags, "--privileged") || !slices.Contains(flags, "a *:* rwm") || flags[0] != "-t" {
		t.Errorf("%q, %v", flags, err)
	}
}

// A name that is a path never reaches a folder.
func TestNamesOfMachines(t *testing.T) {
	t.Parallel()
	of := Folder(filepath.Join(t.TempDir(), "lab"))
	for _, name := range []string{"", ".", "..", "a/b", "../x", "-f", "Server1"} {
		if err := of.Fill(t.Context(), console.Console{Out: t.Output()}, repository, name, "/dev/null"); err == nil || !strings.Contains(err.Error(), "no name of a machine") {
			t.Errorf("fill %q: %v", name, err)
		}
		if err := of.Remove(t.Context(), name); err == nil || !strings.Contains(err.Error(), "no name of a machine") {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if _, err := os.Stat(string(of)); err == nil {
		t.Errorf("%s was made", of)
	}
}
