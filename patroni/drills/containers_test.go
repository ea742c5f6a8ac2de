//go:build drill

package drills

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// command runs a program of the machine's for at most half a minute.
func command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, err
}

// must is the output of a command that has to succeed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	text, err := command(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// first is the id of a container's first process, as the machine sees it.
func first(t *testing.T, container string) int {
	t.Helper()
	pid, err := strconv.Atoi(must(t, "docker", "inspect", "--format", "{{.State.Pid}}", container))
	if err != nil || pid == 0 {
		t.Fatalf("%s does not run: pid %d, %v", container, pid, err)
	}
	return pid
}

// processes are the ids of all of a container's, as the machine sees them.
func processes(container string) (pids []int, err error) {
	text, err := command("docker", "top", container, "-eo", "pid")
	for line := range strings.Lines(text) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil { // the first line is a title
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// postmaster is the first of PostgreSQL's processes: the one that none of the others began.
func postmaster(t *testing.T, container string) int {
	t.Helper()
	parents := map[string]string{}
	for line := range strings.Lines(must(t, "docker", "top", container, "-eo", "pid,ppid,comm")) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "postgres" {
			parents[f[0]] = f[1]
		}
	}
	for pid, parent := range parents {
		if _, too := parents[parent]; !too {
			id, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
	t.Fatalf("no postmaster runs in %s: %v", container, parents)
	return 0
}

// siblings are all containers of a member's allocation but its network's.
func siblings(t *testing.T, m member) []string {
	t.Helper()
	return strings.Fields(must(t, "docker", "ps", "--filter", "name=-"+m.alloc, "--format", "{{.Names}}"))
}

// volume is the folder of the machine that a container has as /data.
func volume(t *testing.T, container string) string {
	t.Helper()
	folder := must(t, "docker", "inspect", "--format",
		`{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}`, container)
	if folder == "" {
		t.Fatalf("%s has no /data", container)
	}
	return folder
}
