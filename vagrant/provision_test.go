// Package vagrant_test runs the provision scripts' checks with tools that are missing, old, or without what is needed of them.
package vagrant_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a PATH of its own: the programs of this machine, but for stand-ins and what is taken away.
type machine struct{ path string }

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t.TempDir()}
	for _, dir := range filepath.SplitList("/usr/local/bin:/usr/bin:/bin") {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			_ = os.Symlink(filepath.Join(dir, entry.Name()), filepath.Join(m.path, entry.Name())) // the first of a name counts
		}
	}
	return m
}

func (m machine) without(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(m.path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// with puts a stand-in in the place of a program.
func (m machine) with(t *testing.T, name, script string) {
	t.Helper()
	m.without(t, name)
	if err := os.WriteFile(filepath.Join(m.path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// run runs a script here, and returns its status and what it says.
func (m machine) run(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/bash", args...)
	cmd.Env = []string{"PATH=" + m.path, "HOME=" + m.path}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

const tools = "provision/05-tools.sh"

func TestAMachineWithEverythingIsReady(t *testing.T) {
	t.Parallel()
	if status, said := newMachine(t).run(t, tools, "--installed"); status != 0 || said != "" {
		t.Errorf("status %d: %s", status, said)
	}
}

// Each tool that is old, or there without what is needed of it, is one line that names it, its use, and what to do.
func TestToolsThatAreOldAreNamed(t *testing.T) {
	t.Parallel()
	for tool, says := range map[string]string{
		"go": "echo go version go1.21.3 linux/amd64", "git": "exit 1", "g++": "exit 1", "curl": "exit 2", "jq": "exit 3", "openssl": "exit 1", "unzip": "exit 1",
		"shellcheck": "exit 3", "python3": "exit 1", "initdb": "echo initdb '(PostgreSQL)' 9.6.24", "redis-server": "echo Redis server v=6.0.16 sha=0",
		"redis-cli": "echo redis-cli 6.0.16", "pgbackrest": "echo pgBackRest 2.3", "docker": "echo Docker version 18.09.1, build x", "terraform": "echo Terraform v1.5.7", "node": "echo v12.22.9",
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.with(t, tool, says)
			for _, args := range [][]string{{tools}, {tools, "--installed"}} {
				status, said := m.run(t, args...)
				want := "error: " + filepath.Join(m.path, tool) + " has no "
				if status == 0 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, want) || !strings.Contains(said, "which is needed for") {
					t.Errorf("%q: status %d: %s", args, status, said)
				}
			}
		})
	}
}

// A git that works does not do so in another user's checkout, or without one: it is not git that has to go.
func TestWhatGitRefusesIsSaid(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.with(t, "git", `[ "$1" != --version ] || exec echo git version 2.39.5; echo "fatal: detected dubious ownership"; echo "To add an exception"; exit 128`)
	status, said := m.run(t, tools)
	if status == 0 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "error: git does not list the files of /") || !strings.HasSuffix(said, ": fatal: detected dubious ownership\n") {
		t.Errorf("status %d: %s", status, said)
	}
}

// What is missing is about to be installed; once it should be, it is named with its package.
func TestToolsThatAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	for tool, pkg := range map[string]string{"jq": "jq", "shellcheck": "shellcheck", "redis-server": "redis-server", "docker": "docker.io", "pgbackrest": "pgbackrest", "curl": "curl", "unzip": "unzip", "g++": "g++"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.without(t, tool)
			if status, said := m.run(t, tools); status != 0 || said != "" {
				t.Errorf("before the packages: status %d: %s", status, said)
			}
			status, said := m.run(t, tools, "--installed")
			if status == 0 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "error: "+tool+" is missing") || !strings.Contains(said, "install the package "+pkg+"\n") {
				t.Errorf("after them: status %d: %s", status, said)
			}
		})
	}
}

// Vagrant is asked for no more than it has: no plugin, hypervisor or engine is needed to read the Vagrantfile.
func TestVagrantIsCheckedForWhatItHas(t *testing.T) {
	t.Parallel()
	const (
		plugin = `"plugin list") echo 'vagrant-libvirt (0.12.2, system)';;`
		none   = `"plugin list") echo 'No plugins installed.';;`
		unused = `validate) echo No usable default provider could be found; exit 1;;`
		docker = `validate) [ $VAGRANT_DEFAULT_PROVIDER = docker ] || { echo the provider is not usable; exit 1; }; echo validated;;`
		// As Vagrant 2.3.4 says it of a Docker engine that does not run.
		stopped = `validate) [ $VAGRANT_DEFAULT_PROVIDER = libvirt ] || { echo "The provider 'docker' that was requested to back the machine"; echo "'server1' is reporting that it isn't usable on this system. The"; exit 1; }; echo validated;;`
		ignore  = `"validate --help") echo '    --ignore-provider  x';; "validate --ignore-provider") echo ignored;;`
		old     = `"validate --help") echo 'Usage: vagrant validate';;`
		nolib   = "  not validated for libvirt: "
		here    = " it cannot be used here\n"
	)
	for name, c := range map[string]struct {
		cases, says string
		status      int
	}{
		"with its plugin":                          {plugin + `validate) echo validated;;`, "libvirt: validated\ndocker: validated\n", 0},
		"without its plugin":                       {none + docker, "vagrant plugin install vagrant-libvirt)\ndocker: validated\n", 0},
		"with a plugin that has no hypervisor":     {plugin + docker, nolib + "it cannot be used here\ndocker: validated\n", 0},
		"with a Docker engine that does not run":   {plugin + stopped, "libvirt: validated\n  not validated for docker:" + here, 0},
		"with nothing to start machines":           {plugin + unused + ignore, "  not validated for docker:" + here + "ignored\n", 0},
		"with a Vagrantfile that is wrong":         {plugin + ignore + `validate) echo There are errors in the configuration; exit 1;;`, "error: There are errors", 1},
		"an old one with nothing":                  {none + unused + old, "is too old to validate without a provider", 1},
		"one that does not start":                  {`--version) exit 127;;`, "does not run, which is needed to validate the lab", 1},
		"one whose validation without it is wrong": {none + unused + `"validate --help") echo '    --ignore-provider  x';; "validate --ignore-provider") echo wrong; exit 1;;`, "wrong\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.with(t, "vagrant", `case "$*" in `+c.cases+` --version) echo Vagrant 2.3.4;; *) exit 9;; esac`)
			status, said := m.run(t, "provision/validate-lab.sh")
			if status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
}
