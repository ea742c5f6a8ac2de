//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/hosts"
)

// hostScenarios are those of the lab. Where one machine is harmed it is the one that has the database's leader, and customers
// begin at its address.
//
// The bars of a machine that is lost at once: 10 s without an order, 2 s without a book. What an operator does costs no request.
var hostScenarios = []scenario{
	{name: "host-killed", groups: []string{drawn}, harm: endHost(hosts.Host.Kill), bars: hostLost},
	{name: "host-off", groups: []string{drawn}, harm: endHost(hosts.Host.Off), bars: hostLost},
	{name: "host-frozen", groups: []string{drawn}, harm: freezeHost, bars: hostLost},
	{name: "host-cut", groups: []string{drawn}, harm: cutHost, bars: hostLost},
	{name: "host-cut-from-one", groups: []string{drawn}, harm: cutHostFromOne, bars: hostLost},
	{name: "host-drained", groups: []string{drawn}, harm: drainHost, bars: unfailing},
	{name: "servers-gone", groups: []string{drawn}, harm: takeServersAway, bars: bars{
		writes: 3 * time.Second, replicaReads: unnoticed, cachedReads: unnoticed, whole: hostWhole, failedOrders: anyNumber,
	}},
	{name: "rolling-reboot", harm: rebootAll, bars: unfailing},
	{name: "machine-added", harm: func(t *testing.T, _ *scene) { addMachine(t) }, bars: unfailing},
	{name: "machine-removed", before: addMachine, harm: removeLast, bars: unfailing},
	{name: "machine-replaced", before: addMachine, harm: replaceServer, bars: unfailing},
}

// hostWhole is how long a machine may take to start, with all that was on it to join the others.
const hostWhole = 3 * time.Minute

var (
	hostLost  = lost(10*time.Second, 2*time.Second, hostWhole).withDatabase(2*time.Second, 2*time.Second)
	unfailing = bars{writes: 3 * time.Second, replicaReads: unnoticed, cachedReads: unnoticed, whole: hostWhole}
)

// hostAway is how long a machine is away: Nomad has said by then that it is down, and placed elsewhere what can be.
const hostAway = 30 * time.Second

// hostOf is the machine of the lab that has a member.
func hostOf(t *testing.T, m cluster.Member) hosts.Host {
	t.Helper()
	h, err := hosts.At(t.Context(), m.Host)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// harmed breaks a machine, and has what acts as the operator do so from another. Repair undoes it, at the latest when the test ends.
func harmed(t *testing.T, what string, harm, repair func(ctx context.Context) error) func() {
	t.Helper()
	undo := sync.OnceFunc(func() {
		if err := repair(context.Background()); err != nil {
			t.Errorf("repair: %s: %v", what, err)
		}
		t.Logf("%s: repaired", what)
	})
	t.Cleanup(undo)
	if err := harm(t.Context()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	t.Log(what)
	cluster.Reopen()
	return undo
}

// endHost has the machine end, and run again after a while.
func endHost(end func(hosts.Host, context.Context) error) func(t *testing.T, s *scene) {
	return func(t *testing.T, s *scene) {
		start := harmed(t, "ended "+s.victim.Name, func(ctx context.Context) error { return end(s.victim, ctx) }, s.victim.Start)
		shoptest.Rest(t.Context(), hostAway)
		start()
	}
}

func freezeHost(t *testing.T, s *scene) {
	thaw := harmed(t, "froze "+s.victim.Name, s.victim.Freeze, s.victim.Thaw)
	shoptest.Rest(t.Context(), hostAway)
	thaw()
	s.load.deposed.useAgain(t, s)
}

func cutHost(t *testing.T, s *scene) {
	heal := cut(t, s.victim)
	shoptest.Rest(t.Context(), hostAway)
	heal()
	s.load.deposed.useAgain(t, s)
}

// cut cuts a machine off, or from the others that are named.
func cut(t *testing.T, h hosts.Host, from ...hosts.Host) (heal func()) {
	t.Helper()
	return harmed(t, fmt.Sprintf("cut %s off %v", h.Name, from),
		func(ctx context.Context) error { return h.Cut(ctx, from...) },
		func(ctx context.Context) error { return h.Mend(ctx, from...) })
}

// cutHostFromOne has two machines not reach each other, while everybody else reaches both.
func cutHostFromOne(t *testing.T, s *scene) {
	peers := others(t, s.victim)
	heal := cut(t, s.victim, peers[s.random.IntN(len(peers))])
	shoptest.Rest(t.Context(), hostAway)
	heal()
}

// others are the machines but one.
func others(t *testing.T, but hosts.Host) (rest []hosts.Host) {
	t.Helper()
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		if h.Name != but.Name {
			rest = append(rest, h)
		}
	}
	return rest
}

// drainHost has all that is on the machine stopped in order, and takes it into use again.
func drainHost(t *testing.T, s *scene) {
	drain(t, s.victim)()
}

// drainTime is after how long Nomad stops what is left on a node.
const drainTime = 2 * time.Minute

// drain returns when nothing is left on the machine. Resume takes it into use again, at the latest when the test ends.
func drain(t *testing.T, h hosts.Host) (resume func()) {
	t.Helper()
	id := nodeOf(t, h)
	resume = sync.OnceFunc(func() {
		err := shoptest.Poll(context.WithoutCancel(t.Context()), time.Minute, func(context.Context) error { // Nomad may be electing a leader
			_, err := cluster.Nomad(t).Nodes().ToggleEligibility(id, true, nil)
			return err
		})
		if err != nil {
			t.Errorf("take %s into use again: %v", h.Name, err)
		}
	})
	t.Cleanup(resume)
	drainOut(t.Context(), t, h, id)
	return resume
}

// drainOut has Nomad stop what is on a machine, and returns when nothing is left.
func drainOut(ctx context.Context, t *testing.T, h hosts.Host, id string) {
	t.Helper()
	began := time.Now()
	_, err := cluster.Nomad(t).Nodes().UpdateDrainOpts(id, &nomad.DrainOptions{DrainSpec: &nomad.DrainSpec{Deadline: drainTime}}, nil)
	if err == nil {
		err = shoptest.Poll(ctx, drainTime+time.Minute, func(ctx context.Context) error {
			node, _, err := cluster.Nomad(t).Nodes().Info(id, (&nomad.QueryOptions{}).WithContext(ctx))
			if err == nil && node.DrainStrategy != nil {
				err = errors.New("it goes on")
			}
			return err
		})
	}
	if err != nil {
		t.Fatalf("drain %s: %v", h.Name, err)
	}
	t.Logf("%s was drained after %.1f s", h.Name, time.Since(began).Seconds())
}

// nodeOf is the machine's id in Nomad.
func nodeOf(t *testing.T, h hosts.Host) string {
	t.Helper()
	all, _, err := cluster.Nomad(t).Nodes().List(nil)
	for _, node := range all {
		if node.Name == h.Name && node.Status == nomad.NodeStatusReady {
			return node.ID
		}
	}
	t.Fatalf("Nomad has no node %s that is ready: %v", h.Name, err)
	return ""
}

// rebootAll drains and starts anew one machine after the other, each when the shop is whole again.
func rebootAll(t *testing.T, _ *scene) {
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		id := nodeOf(t, h)
		resume := drain(t, h)
		start := harmed(t, "stopped "+h.Name, h.ShutDown, h.Start)
		start()
		shoptest.Eventually(t, hostWhole, h.Name+" is ready", func(ctx context.Context) error {
			node, _, err := cluster.Nomad(t).Nodes().Info(id, (&nomad.QueryOptions{}).WithContext(ctx))
			if err == nil && node.Status != nomad.NodeStatusReady {
				err = fmt.Errorf("it is %s", node.Status)
			}
			return err
		})
		resume()
		waitWhole(t, hostWhole, "the shop is whole after the start of "+h.Name)
	}
}

// takeServersAway ends all agents of Consul and Nomad, servers and clients, and starts them again after a minute. What they
// started goes on.
func takeServersAway(t *testing.T, _ *scene) {
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	each := func(do func(hosts.Host, context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			var problems []error
			for _, h := range all {
				problems = append(problems, do(h, ctx))
			}
			return errors.Join(problems...)
		}
	}
	start := harmed(t, "ended all agents", each(hosts.Host.KillAgents), each(hosts.Host.StartAgents))
	shoptest.Rest(t.Context(), awayFor)
	start()
	shoptest.Rest(t.Context(), heldFor)
}
