// Package machine is the machine that the shop runs on, as the provision scripts in vagrant/provision set it up. What
// changes the machine itself is theirs; this package knows where they put things, and runs them.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The scripts' own paths and version (vagrant/provision/lib.sh), to which a test holds these.
const (
	State   = "/var/lib/bookstore"
	Cache   = "/var/cache/bookstore"
	Logs    = "/var/log/bookstore"
	Run     = "/run/bookstore"
	Bin     = "/opt/bookstore/bin"
	Version = "0.1.0"
)

// Root is the repository that holds the working directory: job files and scripts are read there.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module bookstore\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this is not the bookstore's repository: run this in it")
		}
	}
}

// Script runs a script of vagrant/provision, which says itself what it does.
func Script(ctx context.Context, out io.Writer, name string, args ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", append([]string{filepath.Join(root, "vagrant/provision", name)}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that it can remove what it made for itself
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("vagrant/provision/%s: %w", name, err)
	}
	return nil
}

// kept are the settings that go through sudo.
const kept = "BOOKSTORE_INTERFACE,BOOKSTORE_ROLE,BOOKSTORE_SERVERS,BOOKSTORE_BOOTSTRAP,BOOKSTORE_DEBIAN_SNAPSHOT,BOOKSTORE_VARS,BOOKSTORE_GIVEN,BOOKSTORE_EGRESS,BOOKSTORE_ACME_EGRESS,BOOKSTORE_ALERT_EGRESS,BOOKSTORE_S3,BOOKSTORE_ARCHIVE,BOOKSTORE_NODES,BOOKSTORE_MEMORY,BOOKSTORE_CPU,GOPROXY,CI,USER_WORKING_DIR,NOMAD_ADDR,NOMAD_TOKEN,NOMAD_CACERT,CONSUL_HTTP_ADDR,CONSUL_HTTP_TOKEN,CONSUL_CACERT"

// BecomeRoot starts the command again through sudo where that is needed, and makes the scripts' folders.
func BecomeRoot() error {
	if os.Geteuid() != 0 {
		sudo, err := exec.LookPath("sudo")
		if err != nil {
			return errors.New("this needs root: run it as root, or install sudo")
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		args := append([]string{"sudo", "--preserve-env=" + kept, "env", "PATH=" + os.Getenv("PATH"), self}, os.Args[1:]...)
		return syscall.Exec(sudo, args, os.Environ()) //nolint:gosec // the operator's own command, again
	}
	for _, dir := range []string{State, Logs} { // the shop's alone
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{Cache, Run, Bin} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs and logs in there are for everybody
			return err
		}
	}
	return nil
}

// Lock keeps other runs that change this machine out until it is released, or says that there is one.
func Lock() (release func(), err error) {
	file, err := os.OpenFile(filepath.Join(Run, "provision.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, errors.New("another run that changes this machine is under way: wait for it to end")
	}
	return func() { _ = file.Close() }, nil
}

// Nodes is how many machines the shop is to be placed on: BOOKSTORE_NODES, 1 if that is not set.
func Nodes() (int, error) {
	text := os.Getenv("BOOKSTORE_NODES")
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		return 0, fmt.Errorf("BOOKSTORE_NODES is %q, not a number of machines", text)
	}
	return n, nil
}

// Alive tells whether an agent that the scripts started still runs.
func Alive(name string) bool {
	pid, err := os.ReadFile(filepath.Join(Run, name+".pid"))
	if err != nil {
		return false
	}
	command, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "comm")) //nolint:gosec // the scripts wrote the number
	return err == nil && strings.TrimSpace(string(command)) == name
}

// Signal sends a signal to an agent that the scripts started.
func Signal(name string, signal syscall.Signal) error {
	if !Alive(name) {
		return fmt.Errorf("%s does not run: 'go tool task up' starts it", name)
	}
	text, err := os.ReadFile(filepath.Join(Run, name+".pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s.pid: %w", name, err)
	}
	return syscall.Kill(pid, signal)
}

// Warm tells whether the scripts, when they last ran, found everything installed and built.
func Warm() bool {
	_, err := os.Stat(filepath.Join(Run, "cold"))
	return errors.Is(err, os.ErrNotExist)
}

// Install puts the program that runs where the scripts put theirs, so that a shell finds it there and completes for it.
func Install(name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(Bin, name)
	program, err := os.ReadFile(self)
	if err != nil || self == path {
		return err
	}
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, program) {
		return nil
	}
	// A program that runs cannot be written to, but replaced.
	if err := os.WriteFile(path+".new", program, 0o755); err != nil { //nolint:gosec // a program for everybody
		return err
	}
	return os.Rename(path+".new", path)
}

// Tool finds a program where the scripts put it, or on the PATH.
func Tool(name string) (string, error) {
	if path, err := exec.LookPath(filepath.Join(Bin, name)); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither in %s nor on the PATH: 'go tool task up' installs it", name, Bin)
	}
	return path, nil
}
