//go:build drill

package drills

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func killPostgres(t *testing.T, s *scene) {
	s.signal(t, syscall.SIGKILL, postmaster(t, s.leader.container()))
}

func killLeader(t *testing.T, s *scene) { s.kill(t, s.leader) }

func killReplica(t *testing.T, s *scene) { s.kill(t, s.replicas[0]) }

func killTwoReplicas(t *testing.T, s *scene) { s.kill(t, s.replicas[:2]...) }

func killLeaderAndReplica(t *testing.T, s *scene) { s.kill(t, s.leader, s.replicas[0]) }

func killAll(t *testing.T, s *scene) { s.kill(t, append(s.replicas, s.leader)...) }

// kill ends the members' containers at one instant, as the kernel would: their first
// processes die, and all others with them.
func (s *scene) kill(t *testing.T, victims ...member) {
	t.Helper()
	var pids []int
	for _, m := range victims {
		pid := first(t, m.container())
		pids = append(pids, pid)
		s.dead[m.container()] = pid
	}
	s.signal(t, syscall.SIGKILL, pids...)
}

// risen is nil when every container that was killed runs anew and nothing is missing: Consul
// hears of a death seconds later.
func (s *scene) risen(ctx context.Context) error {
	for container, pid := range s.dead {
		now, err := command("docker", "inspect", "--format", "{{.State.Pid}}", container)
		if err != nil {
			return fmt.Errorf("look whether %s runs anew: %w", container, err)
		}
		if now == "0" || now == strconv.Itoa(pid) {
			return fmt.Errorf("%s does not run anew: its first process is %s", container, now)
		}
	}
	return s.whole(ctx)
}

// signal sends a signal to processes that must be there.
func (*scene) signal(t *testing.T, what syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, what); err != nil {
			t.Errorf("send %s to %d: %v", what, pid, err)
		}
	}
	t.Logf("sent %s to %v", what, pids)
}

// removeLeaderData takes the leader's files from under it while it runs.
func removeLeaderData(t *testing.T, s *scene) {
	data := filepath.Join(volume(t, s.leader.container()), "pgdata")
	err := os.RemoveAll(data)
	for range 10 { // what is written meanwhile may keep a directory from going
		if err == nil {
			return
		}
		err = os.RemoveAll(data)
	}
	t.Errorf("remove the data: %v", err)
}
