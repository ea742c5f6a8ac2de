//go:build drill

package drills

import (
	"testing"
	"time"
)

// drill is one way to fail.
type drill struct {
	name string
	harm func(t *testing.T, s *scene) // returns when nothing is harmed any more, healed or not
	bars bars
}

// bars are what a drill may cost at most.
type bars struct {
	writes       time.Duration // the longest time without an acknowledged row, or without an acknowledged order
	replicaReads time.Duration // … in which no replica answered, or no list that comes from one
	cachedReads  time.Duration // … in which a cached book was not served
	whole        time.Duration // from the end of the harm until nothing is missing
}

// unnoticed is what passes for no interruption on a machine that is busy. A commit waits for
// any two of four standbys, and a read asks any replica, so one that is missing may cost no
// more.
const unnoticed = time.Second

// The bar of a drill that the leader's process does not survive is 3 s: its death is certain
// at once, so nothing has to run out. A frozen leader has to be found out first and killed
// by somebody else, hence 10 s. Where nobody who could kill it can be reached, its lease in
// Consul has to run out: 20 s at most, then the election and the way to the new leader: 30 s.
var drills = []drill{
	{"postgres-killed", killPostgres, bars{3 * time.Second, unnoticed, unnoticed, time.Minute}},
	{"leader-killed", killLeader, bars{3 * time.Second, unnoticed, unnoticed, time.Minute}},
	{"leader-frozen", freezeLeader, bars{10 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	// Its fence is frozen with it, as when the host hangs.
	{"leader-host-frozen", freezeLeaderHost, bars{30 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	{"leader-cut-off", cutOffLeader, bars{30 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	// The same, and it stays away for longer than anything waits.
	{"leader-silent", silenceLeader, bars{30 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	// Patroni looks every 2 s; then it gives the key back by itself. 10 s leave room for a
	// server that hangs on what is gone until it is stopped.
	{"leader-data-gone", removeLeaderData, bars{10 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	{"replica-killed", killReplica, bars{unnoticed, unnoticed, unnoticed, time.Minute}},
	{"replica-frozen", freezeReplica, bars{unnoticed, unnoticed, unnoticed, time.Minute}},
	{"replica-disk-full", fillReplicaDisk, bars{unnoticed, unnoticed, unnoticed, 2 * time.Minute}},
	{"two-replicas-lost", killTwoReplicas, bars{unnoticed, unnoticed, unnoticed, time.Minute}},
	{"leader-and-replica-lost", killLeaderAndReplica, bars{3 * time.Second, unnoticed, unnoticed, time.Minute}},
	// The leader asks every member whether it may stay (failsafe_mode), which is one round of
	// its loop; when Consul is back, so is everybody's session.
	{"consul-away", takeConsulAway, bars{3 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	{"switchover", switchOver, bars{2 * time.Second, unnoticed, unnoticed, time.Minute}},
	// What draining its node does to it, and an update of its job.
	{"leader-stopped", stopLeader, bars{2 * time.Second, unnoticed, unnoticed, 2 * time.Minute}},
	// Nobody is left who could serve: all five start, recover from their WAL and elect. The
	// caches go on.
	{"all-killed", killAll, bars{30 * time.Second, 30 * time.Second, unnoticed, 2 * time.Minute}},
}
