package coherence_test

import (
	"strings"
	"testing"

	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

// A replica that missed a floor takes over: it has the old copy, and the token of who fills it.
func TestAPromotedReplicaAnswersNothingOld(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	c := open(t, nodes.Config())
	s, key := &tier{shared(c), t, c}, "book:{1}"
	s.requireStored(true, s.token(1), book(1, 1, 1))
	s.raise(floor(1, 1, 2))
	before := s.token(1)
	waittest.Eventually(t, "there is a replica", func() bool { return len(nodes.ReplicasOf(key)) == 1 })
	master, replica := nodes.MasterOf(key), nodes.ReplicasOf(key)[0]
	waittest.Eventually(t, "the replica has the copy", func() bool {
		return nodes.Node(master).Wait(t.Context(), 1, 0).Val() == 1
	})

	// From here on the replica hears nothing of its master.
	if err := nodes.Node(replica).ConfigSet(t.Context(), "masterauth", "wrong").Err(); err != nil {
		t.Fatal(err)
	}
	if err := nodes.Node(master).Do(t.Context(), "client", "kill", "type", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the replica is cut off", func() bool {
		info := nodes.Node(replica).Info(t.Context(), "replication").Val()
		return strings.Contains(info, "master_link_status:down")
	})
	s.raise(floor(1, 1, 3))
	if err := nodes.Node(replica).Do(t.Context(), "cluster", "failover", "takeover").Err(); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the replica has taken over", func() bool { return nodes.MasterOf(key) == replica })
	waittest.Eventually(t, "its word is asked for", func() bool {
		stored, err := s.Store(t.Context(), before, book(1, 1, 2))
		if stored {
			t.Error("a fill of before the floor was stored")
		}
		return err == nil
	})
	s.requireStored(true, s.token(1), book(1, 1, 3))
}
