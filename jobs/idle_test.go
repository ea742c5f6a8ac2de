//go:build bench

package jobs_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/services/operator/cluster"
)

// TestIdle prints what share of one core each part of the running shop uses over IDLE_SECONDS
// (60). It sends no requests; a load that somebody else offers is counted too.
//
// Containers are read by their control groups, so that processes which come and go between the
// two readings count. Agents on the host are read from /proc: the scheduler's own count of each
// thread (the clock ticks of /proc/*/stat count a process that wakes with the tick threefold), and
// the ticks of children that they have waited for.
func TestIdle(t *testing.T) {
	span := 60 * time.Second
	if text := os.Getenv("IDLE_SECONDS"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 {
			t.Fatalf("IDLE_SECONDS is %q, not a number of seconds", text)
		}
		span = time.Duration(seconds) * time.Second
	}
	groups := containers(t)
	if len(groups) == 0 {
		t.Fatal("no container of the shop runs: go tool task up")
	}
	began, before := time.Now(), spent(t, groups)
	time.Sleep(span)
	elapsed, after := time.Since(began), spent(t, groups)

	share, total := map[string]float64{}, 0.0
	for who, used := range after {
		if then, ok := before[who]; ok { // what has come or gone meanwhile does not count
			percent := 100 * float64(used-then) / float64(elapsed)
			share[who.part] += percent
			total += percent
		}
	}
	parts := slices.SortedFunc(maps.Keys(share), func(a, b string) int {
		if share[a] > share[b] {
			return -1
		}
		return 1
	})
	for _, part := range parts {
		_, _ = fmt.Fprintf(os.Stdout, "%-14s %5.1f %%\n", part, share[part])
	}
	_, _ = fmt.Fprintf(os.Stdout, "figure idle_core_percent %.1f\n", total)
}

// containers maps the file of each container's processor time to the part that it belongs to:
// its job, or "sidecars" for the Envoy beside a service.
func containers(t *testing.T) map[string]string {
	t.Helper()
	jobs := allocations(t)
	files := map[string]string{}
	for id := range strings.FieldsSeq(command(t, "docker", "ps", "--quiet", "--no-trunc")) {
		pid, name, _ := strings.Cut(strings.TrimSpace(command(t, "docker", "inspect", "--format", "{{.State.Pid}} {{.Name}}", id)), " ")
		if len(name) < 36 {
			continue
		}
		part, ok := jobs[name[len(name)-36:]] // Nomad calls a container <task>-<allocation>
		if !ok {
			continue
		}
		if strings.HasPrefix(name, "/connect-proxy-") {
			part = "sidecars"
		}
		files[timeFile(t, pid)] = part
	}
	return files
}

// allocations maps each allocation's id to its job.
func allocations(t *testing.T) map[string]string {
	t.Helper()
	shop, err := cluster.Open()
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := shop.Nomad.Allocations().List(cluster.Query(t.Context()))
	if err != nil {
		t.Fatalf("the shop does not run (go tool task up): %v", err)
	}
	jobs := map[string]string{}
	for _, a := range list {
		jobs[a.ID], _, _ = strings.Cut(a.JobID, "/") // runs of a periodic job count as the job
	}
	return jobs
}

// timeFile is where the control group of a process counts its processor time.
func timeFile(t *testing.T, pid string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	unified := ""
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if slices.Contains(strings.Split(fields[1], ","), "cpuacct") {
			return filepath.Join("/sys/fs/cgroup/cpuacct", fields[2], "cpuacct.usage")
		}
		if fields[1] == "" {
			unified = filepath.Join("/sys/fs/cgroup", fields[2], "cpu.stat")
		}
	}
	return unified
}

// consumer is one container or one process of a part.
type consumer struct{ part, id string }

// spent is the processor time of each container and agent so far.
func spent(t *testing.T, groups map[string]string) map[consumer]time.Duration {
	t.Helper()
	used := agents(t)
	for file, part := range groups {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Logf("a container of %s has ended meanwhile", part)
			continue
		}
		text, unit := strings.TrimSpace(string(content)), time.Nanosecond
		if rest, ok := strings.CutPrefix(text, "usage_usec "); ok {
			text, unit = strings.Fields(rest)[0], time.Microsecond
		}
		count, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		used[consumer{part, file}] = time.Duration(count) * unit
	}
	return used
}

// agents is the processor time of what runs the shop on the host.
func agents(t *testing.T) map[consumer]time.Duration {
	t.Helper()
	parts := map[string]string{
		"nomad": "nomad", "consul": "consul",
		"dockerd": "docker", "containerd": "docker", "containerd-shim": "docker", "docker-proxy": "docker",
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	used := map[consumer]time.Duration{}
	for _, dir := range processes {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		head, rest, _ := strings.Cut(string(stat), ") ")
		_, name, _ := strings.Cut(head, "(")
		if part, ok := parts[name]; ok {
			used[consumer{part, dir}] = threads(t, dir) + children(t, rest)
		}
	}
	return used
}

// threads is the processor time of a process's threads that live.
func threads(t *testing.T, dir string) (used time.Duration) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "task/*/schedstat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		spent, _, _ := strings.Cut(string(content), " ")
		ns, err := strconv.ParseInt(spent, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		used += time.Duration(ns)
	}
	return used
}

// children is the time of the children that a process has waited for, from what follows the name
// in its /proc/*/stat.
func children(t *testing.T, stat string) (used time.Duration) {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Linux has
	for _, ticks := range strings.Fields(stat)[13:15] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			t.Fatalf("%q: %v", stat, err)
		}
		used += time.Duration(n) * tick
	}
	return used
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}
