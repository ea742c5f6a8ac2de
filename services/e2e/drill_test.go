//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest"
)

// drill kills one container of the running shop while customers read and buy. Nomad starts
// it again; the drill says how much of it customers may notice until then.
type drill struct {
	name   string
	job    string
	victim func(t *testing.T, random *rand.Rand) string // an allocation of the job; nil: any
	watch  func(t *testing.T) func()                    // armed before the kill, run after it; nil: nothing

	noWrites     time.Duration // the longest time without an acknowledged order
	failedReads  int           // reads without the right answer; none is tried again
	failedOrders int           // answers 5xx or none at all to orders, which are asked again
	whole        time.Duration // from the kill until everything is healthy and complete
}

// The bounds are a few times what was measured on two cores. Of the crowd that is under way
// when an instance dies, about half is with it, and until Consul has noticed, what is sent
// again may come to the dead one again; all that needs a leader fails while there is none.
// What is never allowed is not in the table: to lose or double an order.
var drills = []drill{
	{name: "books-killed", job: "books", noWrites: 3 * time.Second, failedReads: 20, failedOrders: 60, whole: time.Minute},
	{name: "gateway-killed", job: "gateway", noWrites: 3 * time.Second, failedReads: 20, failedOrders: 60, whole: time.Minute},
	{
		name: "coordinator-killed", job: "coordinator", watch: watchTakeover,
		noWrites: 3 * time.Second, failedReads: 20, failedOrders: 60, whole: time.Minute,
	},
	{name: "redis-master-killed", job: "redis", victim: redisMaster, noWrites: 2 * time.Second, whole: time.Minute},
	{name: "replica-killed", job: "patroni", victim: patroniReplica, noWrites: 2 * time.Second, whole: 90 * time.Second},
	{
		name: "leader-killed", job: "patroni", victim: patroniLeader,
		noWrites: 15 * time.Second, failedReads: 150, failedOrders: 300, whole: 2 * time.Minute,
	},
}

// defaultDrillSeed makes the short selection a coordinator's and a replica's death.
const defaultDrillSeed = 48

// shortSelection is how many drills run where none is asked for.
const shortSelection = 2

// TestDrills runs the drills that DRILLS names, separated by commas, or all of them for
// "all"; without it two of them, drawn with DRILL_SEED.
func TestDrills(t *testing.T) {
	seed := drillSeed(t)
	chosen := chooseDrills(t, os.Getenv("DRILLS"), seed)
	for _, d := range chosen {
		t.Run(d.name, func(t *testing.T) { d.run(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func drillSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("DRILL_SEED")
	if text == "" {
		return defaultDrillSeed
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("DRILL_SEED: %v", err)
	}
	return seed
}

func chooseDrills(t *testing.T, wanted string, seed uint64) []drill {
	t.Helper()
	var chosen []drill
	switch wanted {
	case "all":
		return drills
	case "":
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(drills))[:shortSelection] {
			chosen = append(chosen, drills[i])
		}
		t.Logf("%d of %d drills, drawn with DRILL_SEED=%d", len(chosen), len(drills), seed)
		return chosen
	}
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.IndexFunc(drills, func(d drill) bool { return d.name == strings.TrimSpace(name) })
		if i < 0 {
			var known []string
			for _, d := range drills {
				known = append(known, d.name)
			}
			t.Fatalf("there is no drill %q: all, or some of %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, drills[i])
	}
	return chosen
}

func (d drill) run(t *testing.T, random *rand.Rand) {
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole before the drill", func(ctx context.Context) error { return shopIsWhole(ctx, t) })
	find := d.victim
	if find == nil {
		find = func(t *testing.T, random *rand.Rand) string {
			running := runningAllocations(t, d.job)
			return running[random.IntN(len(running))].ID
		}
	}
	target := newVictim(t, d.job, find(t, random))
	after := func() {}
	if d.watch != nil {
		after = d.watch(t)
	}
	l := startDrillLoad(t)
	l.ackedMore(t, 20)

	// The container dies with a crowd of orders under way.
	killed := time.Now()
	l.crowd()
	target.kill(t)
	after()
	shoptest.Eventually(t, d.whole, "the shop is whole again", func(ctx context.Context) error {
		if err := target.restarted(ctx); err != nil {
			return err
		}
		return shopIsWhole(ctx, t)
	})
	healed := time.Since(killed)
	l.ackedMore(t, 20)
	l.finish(t)
	d.judge(t, l, killed, healed)
}

// judge holds a finished drill to its bounds, and the shop to what it has promised.
func (d drill) judge(t *testing.T, l *drillLoad, killed time.Time, healed time.Duration) {
	gap := l.longestGap(killed)
	t.Logf("%s: %.1f s without writes, %d of %d reads failed, %d answers to %d orders failed, %d orders asked again, whole after %.1f s",
		d.name, gap.Seconds(), l.failedReads, l.reads, l.failedOrders, len(l.acked), l.askedAgain, healed.Seconds())
	for _, example := range l.examples {
		t.Log(example)
	}
	if gap > d.noWrites {
		t.Errorf("no order was acknowledged for %s, allowed is %s", gap, d.noWrites)
	}
	if l.failedReads > d.failedReads || l.failedOrders > d.failedOrders {
		t.Errorf("%d reads and %d answers to orders failed, allowed are %d and %d", l.failedReads, l.failedOrders, d.failedReads, d.failedOrders)
	}
	for _, wrong := range l.wrong {
		t.Error(wrong)
	}
	l.requireKept(t)
	requireNothingInDoubt(t)
	requireLedgerBalanced(t)
}

// watchTakeover: what a coordinator leaves behind is finished by the other within 3 s. The
// times are the database's.
func watchTakeover(t *testing.T) func() {
	conn := leader(t, "postgres")
	return func() {
		var died time.Time
		var prepared int
		err := conn.QueryRow(t.Context(), "select clock_timestamp(), (select count(*) from pg_prepared_xacts)").Scan(&died, &prepared)
		if err != nil {
			t.Fatal(err)
		}
		// Calls that it had sent may still arrive, hence what is prepared shortly after counts too.
		const orphans = 500 * time.Millisecond
		var since float64
		shoptest.Eventually(t, 3*time.Second, "nothing that was prepared when the coordinator died is left", func(ctx context.Context) error {
			var left int
			err := conn.QueryRow(ctx, `select count(*), extract(epoch from clock_timestamp() - $1)::float8
				from pg_prepared_xacts where prepared < $2`, died, died.Add(orphans)).Scan(&left, &since)
			if err == nil && (left > 0 || since < orphans.Seconds()) {
				err = fmt.Errorf("%d are left after %.1f s", left, since)
			}
			return err
		})
		t.Logf("%d transactions were prepared when the coordinator died; all were finished after %.1f s at the latest", prepared, since)
	}
}
