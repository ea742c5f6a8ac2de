//go:build drill

package drills

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// frozenFor is longer than a lease in Consul can last: somebody else leads when it ends.
const frozenFor = 30 * time.Second

// freezeLeader leaves its fence alive, which kills what is frozen; nothing is left to thaw.
func freezeLeader(t *testing.T, s *scene) {
	thaw := freeze(t, s.leader.Container())
	shoptest.Rest(t.Context(), frozenFor)
	thaw()
	s.load.loyal.haunt(t, s)
}

// freezeLeaderHost freezes everything that belongs to the leader. The leader that wakes up
// has been replaced: who stayed with it must not be served by it for long, nor ever be told
// that a write is done.
func freezeLeaderHost(t *testing.T, s *scene) {
	thaw := freeze(t, siblings(t, s.leader)...)
	shoptest.Rest(t.Context(), frozenFor)
	list, err := cluster.Members(t.Context(), t)
	if err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(list, func(m cluster.Member) bool { return m.Leads() && m.Name == s.leader.Name }) {
		t.Errorf("the frozen %s still leads after %s", s.leader.Name, frozenFor)
	}
	thaw()
	s.load.loyal.haunt(t, s)
}

func freezeReplica(t *testing.T, s *scene) {
	thaw := freeze(t, s.replicas[0].Container())
	shoptest.Rest(t.Context(), frozenFor)
	thaw()
}

// freeze stops every process of the containers. Thaw is done at the latest when the test ends.
func freeze(t *testing.T, containers ...string) (thaw func()) {
	t.Helper()
	frozen, err := cluster.Freeze(containers...)
	thaw = sync.OnceFunc(frozen.Thaw)
	t.Cleanup(thaw)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("froze %d processes of %s", len(frozen), strings.Join(containers, ", "))
	return thaw
}

// siblings are all containers of a member's allocation but its network's.
func siblings(t *testing.T, m cluster.Member) []string {
	t.Helper()
	text, err := cluster.Command("docker", "ps", "--filter", "name=-"+m.Alloc, "--format", "{{.Names}}")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(text)
}
