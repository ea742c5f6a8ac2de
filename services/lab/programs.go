package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	built.Lock()
	defer built.Unlock()
	how := fmt.Sprintf("race=%t pprof=%t", o.Race, o.Pprof)
	if dir, ok := built.dirs[how]; ok {
		return dir, nil
	}
	sweep()
	dir, err := os.MkdirTemp("", dirPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the programs: %w", err)
	}
	args := []string{"build", "-o", dir + "/"}
	if o.Race {
		args = append(args, "-race")
	}
	if o.Pprof {
		overlay, err := profiling(dir)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	for _, command := range commands {
		args = append(args, "bookstore/services/cmd/"+command)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil { //nolint:noctx // bounded by the test's time-out
		return "", fmt.Errorf("build the services: %w\n%s", err, out)
	}
	if built.dirs == nil {
		built.dirs = map[string]string{}
	}
	built.dirs[how] = dir
	return dir, nil
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

const pprofSource = `package main

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

// profiling adds a listener for profiles to the services without a trace of it
// in their source.
func profiling(dir string) (overlay string, err error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output() //nolint:noctx // reads a file
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	source := filepath.Join(dir, "pprof.go")
	replace := map[string]string{}
	for _, command := range commands {
		replace[filepath.Join(strings.TrimSpace(string(root)), "services", "cmd", command, "pprof.go")] = source
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	err = errors.Join(os.WriteFile(source, []byte(pprofSource), 0o600), os.WriteFile(overlay, text, 0o600))
	return overlay, err
}
