package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// commands are what is built: the services, and what declares the databases.
var commands = []string{"books", "orders", "payments", "coordinator", "migrate"}

// built are the directories of programs of this test process, by how they are built.
var built struct {
	sync.Mutex
	dirs map[string]string
}

const dirPrefix = "bookstore-lab-"

// programs builds what runs, once per test process and way of building, and
// returns the directory.
func programs(o Options) (string, error) {
	sources := maps.Clone(o.Sources)
	if o.Pprof {
		sources = withProfiles(sources)
	}
	how, err := json.Marshal([]any{o.Race, sources})
	if err != nil {
		return "", fmt.Errorf("tell the ways of building apart: %w", err)
	}
	built.Lock()
	defer built.Unlock()
	if dir, ok := built.dirs[string(how)]; ok {
		return dir, nil
	}
	sweep()
	dir, err := os.MkdirTemp("", dirPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the programs: %w", err)
	}
	if err := build(dir, o.Race, sources); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if built.dirs == nil {
		built.dirs = map[string]string{}
	}
	built.dirs[string(how)] = dir
	return dir, nil
}

func build(dir string, race bool, sources map[string]string) error {
	args := []string{"build", "-o", dir + "/"}
	if race {
		args = append(args, "-race")
	}
	if len(sources) > 0 {
		file, err := overlay(dir, sources)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", file)
	}
	for _, command := range commands {
		args = append(args, "bookstore/services/cmd/"+command)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil { //nolint:noctx // bounded by the test's time-out
		return fmt.Errorf("build the services: %w\n%s", err, out)
	}
	return nil
}

// overlay writes the sources that are built in and the file that tells the go
// command about them.
func overlay(dir string, sources map[string]string) (file string, err error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output() //nolint:noctx // reads a file
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	replace := map[string]string{}
	for i, path := range slices.Sorted(maps.Keys(sources)) {
		source := filepath.Join(dir, fmt.Sprintf("source%d.go", i))
		if err := os.WriteFile(source, []byte(sources[path]), 0o600); err != nil {
			return "", fmt.Errorf("write a source: %w", err)
		}
		replace[filepath.Join(strings.TrimSpace(string(root)), path)] = source
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	file = filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, text, 0o600)
}

// sweep removes the programs of test processes that have ended.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*")) // the pattern is well-formed
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another sweep may be at it
		}
	}
}

// Sweep removes what this test process built; call it from TestMain after the
// tests. Without it the next test process does.
func Sweep() {
	built.Lock()
	defer built.Unlock()
	for how, dir := range built.dirs {
		_ = os.RemoveAll(dir) // the next run sweeps what is left
		delete(built.dirs, how)
	}
}

const profiles = `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
)

func init() {
	runtime.SetMutexProfileFraction(20)
	runtime.SetBlockProfileRate(10000)
	go http.ListenAndServe(os.Getenv("PPROF_ADDR"), nil)
}
`

// withProfiles adds a listener for profiles to each command.
func withProfiles(sources map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, sources)
	for _, command := range commands {
		all["services/cmd/"+command+"/profiles.go"] = profiles
	}
	return all
}
