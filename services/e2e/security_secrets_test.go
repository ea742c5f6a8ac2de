//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest/cluster"
)

// allSecrets are the values of all Nomad Variables, and the operator's and the agents' tokens.
func allSecrets(t *testing.T) (all []string) {
	t.Helper()
	variables := cluster.Nomad(t).Variables()
	list, _, err := variables.List(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		items, _, err := variables.GetVariableItems(v.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range items {
			// A name of a login or a certificate is none.
			if len(value) >= 16 && !strings.Contains(value, "\n") {
				all = append(all, value)
			}
		}
	}
	for _, name := range []string{"operator.nomad", "operator.consul", "agent.nomad", "agent.consul", "nomad.gossip", "consul.gossip"} {
		text, err := os.ReadFile(filepath.Join(cluster.Access, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(string(text)))
	}
	if len(all) < 20 {
		t.Fatalf("the shop has %d secrets only", len(all))
	}
	return all
}

// containing are the files of a folder that have one of the secrets in them.
func containing(t *testing.T, folder string, secrets []string) []string {
	t.Helper()
	grep := exec.CommandContext(t.Context(), "grep", "--recursive", "--files-with-matches", "--fixed-strings", "--no-messages", "--file=-", folder)
	grep.Stdin = strings.NewReader(strings.Join(secrets, "\n"))
	out, err := grep.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// allocations are those of which this machine still has the folder.
func allocations(t *testing.T) (all []*nomad.AllocationListStub) {
	t.Helper()
	list, _, err := cluster.Nomad(t).Allocations().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if _, err := os.Stat(folderOf(a)); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func folderOf(a *nomad.AllocationListStub) string {
	return filepath.Join(cluster.State, "nomad/alloc", a.ID)
}

// A secret is in a file of the task's secrets folder, which is in memory, that its user alone may read: not in its other
// files, and not in what it logs.
func TestAttackSecretsInFiles(t *testing.T) {
	all, found := allSecrets(t), 0
	for _, a := range allocations(t) {
		if a.ClientStatus != nomad.AllocClientStatusRunning {
			continue
		}
		for _, file := range containing(t, folderOf(a), all) {
			info, err := os.Stat(file)
			if errors.Is(err, os.ErrNotExist) {
				continue // the allocation has just ended
			}
			if err != nil {
				t.Fatal(err)
			}
			found++
			owner, _ := info.Sys().(*syscall.Stat_t)
			if !strings.Contains(file, "/secrets/") || info.Mode().Perm()&0o077 != 0 || owner.Uid < 1000 {
				t.Errorf("%s of %s has a secret: %s, of the user %d", file, a.JobID, info.Mode(), owner.Uid)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d files with secrets were found: those of the services are missing", found)
	}
}

// Nomad keeps the folder of a finished batch task for hours: the task itself leaves no secret in it.
func TestAttackSecretsOfFinishedTasks(t *testing.T) {
	if out, err := cluster.OperatorCommand(t.Context(), "warehouse", "run").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all, seen := allSecrets(t), 0
	for _, a := range allocations(t) {
		if a.JobType != nomad.JobTypeBatch || a.ClientStatus != nomad.AllocClientStatusComplete {
			continue
		}
		seen++
		if files := containing(t, folderOf(a), all); len(files) > 0 {
			t.Errorf("%s, which has ended, left its secrets in %q", a.Name, files)
		}
	}
	if seen == 0 {
		t.Error("no batch allocation has ended")
	}
}

// Everybody on the machine can read the arguments of every process.
func TestAttackSecretsInArguments(t *testing.T) {
	all := allSecrets(t)
	for _, command := range [][]string{{"db", "status"}, {"status"}, {"token"}} {
		running := cluster.OperatorCommand(t.Context(), command...)
		if err := running.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- running.Wait() }()
		for begin := time.Now(); time.Since(begin) < 20*time.Second && len(ended) == 0; time.Sleep(10 * time.Millisecond) {
			requireNoSecretInArguments(t, all)
		}
		if err := <-ended; err != nil {
			t.Errorf("shop %s: %v", strings.Join(command, " "), err)
		}
	}
}

func requireNoSecretInArguments(t *testing.T, all []string) {
	t.Helper()
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if err != nil {
			continue // it has ended
		}
		seen++
		program, _, _ := bytes.Cut(arguments, []byte{0})
		if slices.ContainsFunc(all, func(s string) bool { return bytes.Contains(arguments, []byte(s)) }) {
			t.Fatalf("process %s, %s, has a secret in its arguments", p.Name(), program)
		}
	}
	if seen < 20 {
		t.Fatalf("%d processes were seen", seen)
	}
}
