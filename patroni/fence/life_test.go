package fence_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"bookstore/services/platform/wait/waittest"
)

// life is a member's as the locks know it: a first process with the member's lock, and a
// process of PostgreSQL with that which all of them inherit.
type life struct{ first, postgres *exec.Cmd }

func live(t *testing.T, volume string) life {
	t.Helper()
	return life{
		first:    holder(t, filepath.Join(volume, ".lock"), "--exclusive"),
		postgres: holder(t, filepath.Join(volume, ".postgres.lock"), "--shared"),
	}
}

// holder is a process that has locked a file.
func holder(t *testing.T, path, how string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", "-ec", `exec 9<>"$1"; flock "$2" 9; echo locked; exec sleep 600`, "bash", path, how)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	defer time.AfterFunc(soon, func() { kill(cmd) }).Stop()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("%s is not locked: %q %v", path, line, err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// awaited returns once somebody waits for a member's lock, as the kernel tells.
func awaited(t *testing.T, volume string) {
	t.Helper()
	info, err := os.Stat(filepath.Join(volume, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	waiter := regexp.MustCompile(fmt.Sprintf(`(?m)-> FLOCK .*:%d 0 EOF$`, info.Sys().(*syscall.Stat_t).Ino))
	waittest.EventuallyNil(t, "somebody waits for the lock", func(context.Context) error {
		locks, err := os.ReadFile("/proc/locks")
		if err == nil && !waiter.Match(locks) {
			err = fmt.Errorf("nobody waits for the lock on %s:\n%s", volume, locks)
		}
		return err
	})
}

// soon is how long a test waits for what should come at once; a busy machine takes its time.
const soon = time.Minute

// shortly is how long a test watches that something does not come.
const shortly = 300 * time.Millisecond

func came[T any](t *testing.T, what string, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(soon):
		t.Fatalf("%s did not come within %s", what, soon)
	}
	return value
}

func stayedAway[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case value := <-c:
		t.Fatalf("%s: %v", what, value)
	case <-time.After(shortly):
	}
}
