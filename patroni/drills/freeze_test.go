//go:build drill

package drills

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// frozenFor is longer than a lease in Consul can last: somebody else leads when it ends.
const frozenFor = 30 * time.Second

// freezeLeader leaves its fence alive, which kills what is frozen; nothing is left to thaw.
func freezeLeader(t *testing.T, s *scene) {
	thaw := freeze(t, s.leader.container())
	rest(t, frozenFor)
	thaw()
	s.load.loyal.haunt(t, s)
}

// freezeLeaderHost freezes everything that belongs to the leader. The leader that wakes up
// has been replaced: who stayed with it must not be served by it for long, nor ever be told
// that a write is done.
func freezeLeaderHost(t *testing.T, s *scene) {
	thaw := freeze(t, siblings(t, s.leader)...)
	rest(t, frozenFor)
	list, err := s.members(t.Context())
	if err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(list, func(m member) bool { return m.Role == "leader" && m.Name == s.leader.Name }) {
		t.Errorf("the frozen %s still leads after %s", s.leader.Name, frozenFor)
	}
	thaw()
	s.load.loyal.haunt(t, s)
}

func freezeReplica(t *testing.T, s *scene) {
	thaw := freeze(t, s.replicas[0].container())
	rest(t, frozenFor)
	thaw()
}

// freeze stops every process of the containers where it is. Thaw lets go on what is still
// there; it is done at the latest when the test ends.
func freeze(t *testing.T, containers ...string) (thaw func()) {
	t.Helper()
	var frozen []int
	thaw = sync.OnceFunc(func() {
		for _, pid := range frozen {
			if stopped(pid) {
				_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended since
			}
		}
	})
	t.Cleanup(thaw)
	// What one of them began while the others were being stopped is found the second time.
	for range 2 {
		for _, container := range containers {
			pids, err := processes(container)
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range pids {
				if !stopped(pid) && syscall.Kill(pid, syscall.SIGSTOP) == nil {
					frozen = append(frozen, pid)
				}
			}
		}
	}
	t.Logf("froze %d processes of %s", len(frozen), strings.Join(containers, ", "))
	return thaw
}

// stopped tells whether a process is there and was stopped by a signal.
func stopped(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && strings.Contains(string(status), "\nState:\tT")
}
