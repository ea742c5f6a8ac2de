package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bookstore/services/shoptest"
)

// Container is the name that Nomad gives to the container of a task.
func Container(task, alloc string) string { return task + "-" + alloc }

// Command runs a program of the machine's for at most half a minute.
func Command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, err
}

// Script is a command that runs one of the provision scripts, with the priority of ordinary
// processes: that of a drill may be higher.
func Script(ctx context.Context, name string, args ...string) *exec.Cmd {
	args = append([]string{"--other", "0", "bash", shoptest.Repository("vagrant/provision/" + name)}, args...)
	return exec.CommandContext(ctx, "chrt", args...)
}

// OperatorCommand is a command that runs `shop`, as this checkout has it, with the priority of ordinary processes.
func OperatorCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "chrt", append([]string{"--other", "0", "go", "tool", "shop"}, args...)...)
}

// FirstProcess is the id of a container's first process, as the machine sees it.
func FirstProcess(container string) (int, error) {
	text, err := Command("docker", "inspect", "--format", "{{.State.Pid}}", container)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(text)
	if err == nil && pid == 0 {
		err = fmt.Errorf("%s does not run", container)
	}
	return pid, err
}

// Killed are containers that were killed, and their first processes.
type Killed map[string]int

// Kill ends containers at one instant, as the kernel would: their first processes die, and all
// others with them. Moment is called just before, when nothing is left but to send the signals;
// nil: nothing is.
func Kill(moment func(), containers ...string) (Killed, error) {
	killed := Killed{}
	for _, container := range containers {
		pid, err := FirstProcess(container)
		if err != nil {
			return nil, err
		}
		killed[container] = pid
	}
	if moment != nil {
		moment()
	}
	for container, pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return nil, fmt.Errorf("kill %s: %w", container, err)
		}
	}
	return killed, nil
}

// RunAnew is nil once every container runs anew: Consul hears of a death seconds later.
func (k Killed) RunAnew() error {
	for container, pid := range k {
		now, err := FirstProcess(container)
		if err != nil {
			return err
		}
		if now == pid {
			return fmt.Errorf("%s does not run anew: its first process is %d", container, now)
		}
	}
	return nil
}

// Frozen are processes that were stopped where they are.
type Frozen []int

// Freeze stops every process of the containers where it is.
func Freeze(containers ...string) (frozen Frozen, err error) {
	// What one of them began while the others were being stopped is found the second time.
	for range 2 {
		for _, container := range containers {
			text, err := Command("docker", "top", container, "-eo", "pid")
			if err != nil {
				return frozen, err
			}
			for field := range strings.FieldsSeq(text) {
				pid, err := strconv.Atoi(field)
				if err == nil && !stopped(pid) && syscall.Kill(pid, syscall.SIGSTOP) == nil { // the first is a title
					frozen = append(frozen, pid)
				}
			}
		}
	}
	return frozen, nil
}

// Thaw lets go on what is still there.
func (f Frozen) Thaw() {
	for _, pid := range f {
		if stopped(pid) {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended since
		}
	}
}

// stopped tells whether a process is there and was stopped by a signal.
func stopped(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && strings.Contains(string(status), "\nState:\tT")
}

// Postmaster is the id of the first of PostgreSQL's processes in a container: of the one that
// none of the others began.
func Postmaster(container string) (int, error) {
	text, err := Command("docker", "top", container, "-eo", "pid,ppid,comm")
	if err != nil {
		return 0, err
	}
	parents := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "postgres" {
			parents[f[0]] = f[1]
		}
	}
	for pid, parent := range parents {
		if _, too := parents[parent]; !too {
			return strconv.Atoi(pid)
		}
	}
	return 0, fmt.Errorf("no postmaster runs in %s: %v", container, parents)
}

// Volume is the folder of the machine that a container has as /data.
func Volume(container string) (string, error) {
	folder, err := Command("docker", "inspect", "--format",
		`{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}`, container)
	if err == nil && folder == "" {
		err = fmt.Errorf("%s has no /data", container)
	}
	return folder, err
}
