//go:build drill

package drills

import (
	"math"
	"testing"
	"time"
)

// scenario is one way to fail.
type scenario struct {
	name   string
	groups []string
	harm   func(t *testing.T, s *scene) // returns when nothing is harmed any more, healed or not
	bars   bars
	burst  bool          // kill while a burst of orders is under way
	reads  time.Duration // read what is bought so often too; 0: not
	story  func(t *testing.T)
	before func(t *testing.T) // prepares the shop; nil: there is nothing to do
}

// Groups of scenarios, which can be named like one of them.
const (
	failover = "failover" // of the database
	services = "services" // any container of the shop
	always   = "always"   // in every test of the system
	drawn    = "drawn"    // two of them in every test of the system
)

// bars are what a scenario may cost at most.
type bars struct {
	writes       time.Duration // the longest time without an acknowledged order, or row
	replicaReads time.Duration // … in which no replica answered, or no list that comes from one; 0: clients of the database take no part
	cachedReads  time.Duration // … in which a cached book was not served; 0: it is not judged
	whole        time.Duration // from the end of the harm until nothing is missing
	failedReads  int           // reads without the right answer; none is tried again
	failedOrders int           // answers 5xx or none at all to orders, which are repeated
	readP99      time.Duration // of reads of what is bought, until the shop is whole; 0: it is not judged
	slowestOrder time.Duration // until the shop is whole; 0: it is not judged
}

// unnoticed is what passes for no interruption on a machine that is busy. A commit waits for
// any two of four standbys, and a read goes to any replica, so one that is missing may cost no
// more.
const unnoticed = time.Second

// anyNumber of failed answers is allowed where the longest times say all: there is no leader
// for as long.
const anyNumber = math.MaxInt

// lost are the bars of a database that is without a leader, or a replica, for a while.
func lost(writes, replicaReads, whole time.Duration) bars {
	return bars{writes: writes, replicaReads: replicaReads, cachedReads: unnoticed, whole: whole, failedReads: anyNumber, failedOrders: anyNumber}
}

// crashed are the bars of a container that dies with a burst of orders under way. The counts are
// a few times what was measured on two cores. Of the burst about half is with an instance that
// dies, and until Consul has noticed, what is sent again may come to the dead one again; all
// that needs a leader fails while there is none.
func crashed(writes time.Duration, failedReads, failedOrders int) bars {
	return bars{writes: writes, whole: time.Minute, failedReads: failedReads, failedOrders: failedOrders}
}

// withDatabase are bars that the clients of the database are judged by too.
func (b bars) withDatabase(replicaReads, cachedReads time.Duration) bars {
	b.replicaReads, b.cachedReads = replicaReads, cachedReads
	return b
}

// The bar of a drill that the leader's process does not survive is 3 s: its death is certain
// at once, so nothing has to run out. A frozen leader has to be found out first and killed
// by somebody else, hence 10 s. Where nobody who could kill it can be reached, its lease in
// Consul has to run out: 20 s at most, then the election and the way to the new leader: 30 s.
// What is never allowed is not in the table: to lose or double an order.
var scenarios = []scenario{
	{name: "books-killed", groups: []string{services, drawn}, burst: true, harm: killOne("books"), bars: crashed(3*time.Second, 20, 60)},
	{name: "gateway-killed", groups: []string{services, drawn}, burst: true, harm: killOne("gateway"), bars: crashed(3*time.Second, 20, 60)},
	{name: "coordinator-killed", groups: []string{services, drawn}, burst: true, harm: killCoordinator, bars: crashed(3*time.Second, 20, 60)},
	{
		name: "redis-master-killed", groups: []string{services, always}, burst: true, harm: killRedisMaster, reads: 10 * time.Millisecond,
		// 50 ms is the aim of a read; seen on two cores, where a container starts again meanwhile: 9
		// to 330 ms. An order may wait 1.3 s for its announcement, on top of what it takes.
		bars: bars{writes: 2 * time.Second, whole: time.Minute, readP99: time.Second, slowestOrder: 3 * time.Second},
	},
	{name: "postgres-killed", groups: []string{failover}, harm: killPostgres, bars: lost(3*time.Second, unnoticed, time.Minute)},
	{
		name: "leader-killed", groups: []string{failover, services, drawn}, burst: true, harm: killLeader,
		bars: crashed(3*time.Second, 30, 200).withDatabase(unnoticed, unnoticed),
	},
	{name: "leader-frozen", groups: []string{failover}, harm: freezeLeader, bars: lost(10*time.Second, unnoticed, 2*time.Minute)},
	// Its fence is frozen with it, as when the host hangs.
	{name: "leader-host-frozen", groups: []string{failover}, harm: freezeLeaderHost, bars: lost(30*time.Second, unnoticed, 2*time.Minute)},
	{name: "leader-cut-off", groups: []string{failover}, harm: cutOffLeader, bars: lost(30*time.Second, unnoticed, 2*time.Minute)},
	// The same, and it stays away for longer than anything waits.
	{name: "leader-silent", groups: []string{failover}, harm: silenceLeader, bars: lost(30*time.Second, unnoticed, 2*time.Minute)},
	// Patroni checks every 2 s; then it gives the key back by itself. 10 s leave room for a
	// server that hangs on what is gone until it is stopped.
	{name: "leader-data-gone", groups: []string{failover}, harm: removeLeaderData, bars: lost(10*time.Second, unnoticed, 2*time.Minute)},
	{
		name: "replica-killed", groups: []string{failover, services, drawn}, burst: true, harm: killReplica,
		bars: crashed(unnoticed, 0, 0).withDatabase(unnoticed, unnoticed),
	},
	{name: "replica-frozen", groups: []string{failover}, harm: freezeReplica, bars: lost(unnoticed, unnoticed, time.Minute)},
	{name: "replica-disk-full", groups: []string{failover}, harm: fillReplicaDisk, bars: lost(unnoticed, unnoticed, 2*time.Minute)},
	{name: "two-replicas-lost", groups: []string{failover}, harm: killTwoReplicas, bars: lost(unnoticed, unnoticed, time.Minute)},
	{name: "leader-and-replica-lost", groups: []string{failover}, harm: killLeaderAndReplica, bars: lost(3*time.Second, unnoticed, time.Minute)},
	// The leader requires every member's consent to stay (failsafe_mode), which is one round of
	// its loop; when Consul is back, so is everybody's session.
	{name: "consul-away", groups: []string{failover}, harm: takeConsulAway, bars: lost(3*time.Second, unnoticed, 2*time.Minute)},
	{name: "switchover", groups: []string{failover}, harm: switchOver, bars: lost(2*time.Second, unnoticed, time.Minute)},
	// What draining its node does to it, and an update of its job.
	{name: "leader-stopped", groups: []string{failover}, harm: stopLeader, bars: lost(2*time.Second, unnoticed, 2*time.Minute)},
	// Nobody is left who could serve: all five start, recover from their WAL and elect. The
	// caches go on.
	{name: "all-killed", groups: []string{failover}, harm: killAll, bars: lost(30*time.Second, 30*time.Second, 2*time.Minute)},

	{name: "redis-gone", groups: []string{always}, story: loseRedis(killRedis)},
	{name: "redis-moved", groups: []string{always}, story: loseRedis(stopRedis)},
	{name: "chaos", groups: []string{always}, story: chaos},
	{name: "warehouse-in-chaos", story: warehouseInChaos},
	{name: "restore", story: restore},
	{name: "restore-s3", story: restoreFromS3},
	{name: "rotate", story: rotateAll},
}
