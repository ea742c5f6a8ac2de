package coherence_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

func announce(t *testing.T, a *coherence.Announcer, floors ...coherence.Floor) {
	t.Helper()
	if err := a.Announce(t.Context(), floors...); err != nil {
		t.Fatal(err)
	}
}

func TestAnAnnouncementIsInForceWhenItReturns(t *testing.T) {
	t.Parallel()
	c, reg := alone(t), prometheus.NewRegistry()
	s, a := &tier{shared(c), t, c}, coherence.NewAnnouncer(c, discard, reg)
	gateways := []*gateway{join(t, c, "g1"), join(t, c, "g2"), join(t, c, "g3")}
	s.requireStored(true, s.token(1), book(1, 1, 1))
	for _, g := range gateways {
		g.has(t, 1, 1)
		g.has(t, 2, 1)
	}
	announce(t, a, floor(1, 1, 2))
	for _, g := range gateways {
		g.requireNotBelow(t, floor(1, 1, 2))
		if version, ok := g.near.get(2); !ok || version != 1 {
			t.Error("another book was forgotten")
		}
	}
	s.token(1)
	if n := count(t, reg, "cache_announcements_total", "confirmed"); n != 1 {
		t.Errorf("%v announcements were confirmed", n)
	}
}

func TestAnnouncementsOfTheSameMomentAreOne(t *testing.T) {
	t.Parallel()
	c, reg := alone(t), prometheus.NewRegistry()
	a, g := coherence.NewAnnouncer(c, discard, reg), join(t, c, "g1")
	var callers sync.WaitGroup
	for i := range int64(200) {
		g.has(t, i, 1)
		callers.Go(func() {
			announce(t, a, floor(i, 1, 2), floor(0, 1, i))
			g.requireNotBelow(t, floor(i, 1, 2))
		})
	}
	callers.Wait()
	g.requireNotBelow(t, floor(0, 1, 199))
	if n := count(t, reg, "cache_announcements_total", "confirmed"); n >= 200 {
		t.Errorf("%v announcements for 200 calls", n)
	}
}

// A gateway that says nothing any more costs as much as its lease, and answers
// nothing from then on.
func TestAFrozenGatewayIsWaitedFor(t *testing.T) {
	t.Parallel()
	c, reg := alone(t), prometheus.NewRegistry()
	a := coherence.NewAnnouncer(c, discard, reg)
	frozen, other := join(t, c, "frozen"), join(t, c, "other")
	release := frozen.near.block()
	defer release()
	frozen.has(t, 1, 1)
	other.has(t, 1, 1)
	var callers sync.WaitGroup
	for i := range 3 { // the later ones find the lease revoked, and lasting
		callers.Go(func() {
			<-time.After(time.Duration(i) * 250 * time.Millisecond)
			announce(t, a, floor(1, 1, int64(2+i)))
			frozen.requireNotBelow(t, floor(1, 1, int64(2+i)))
			other.requireNotBelow(t, floor(1, 1, int64(2+i)))
		})
	}
	callers.Wait()
	if frozen.Live() || !other.Live() {
		t.Errorf("frozen is live: %v, other: %v", frozen.Live(), other.Live())
	}
	if n := count(t, reg, "cache_announcements_total", "lapsed"); n == 0 {
		t.Error("no lease was ended")
	}
	release()
	waittest.Eventually(t, "the gateway is back", frozen.Live)
	if _, ok := frozen.near.get(1); ok {
		t.Error("what it kept before is still there")
	}
	frozen.has(t, 1, 1)
	announce(t, a, floor(1, 1, 9))
	frozen.requireNotBelow(t, floor(1, 1, 9))
}

func TestAStoppedGatewayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c, reg := alone(t), prometheus.NewRegistry()
	a, g := coherence.NewAnnouncer(c, discard, reg), join(t, c, "g1")
	announce(t, a, floor(1, 1, 1))
	g.stop()
	if g.Live() {
		t.Error("live after its stop")
	}
	announce(t, a, floor(1, 1, 2))
	if n := count(t, reg, "cache_announcements_total", "confirmed"); n != 2 {
		t.Errorf("%v of 2 announcements were confirmed at once", n)
	}
}

// A session whose registry is lost before it confirms may answer
// until their leases end: the next registry, which does not know them, says
// nothing about that.
func TestTheNextRegistryDoesNotEndTheLeasesOfTheLast(t *testing.T) {
	t.Parallel()
	c := alone(t)
	a, frozen := coherence.NewAnnouncer(c, discard, nil), join(t, c, "frozen")
	announce(t, a, floor(1, 1, 1)) // returns once the registry knows all who may be live
	frozen.has(t, 1, 1)
	release := frozen.near.block()
	defer release()
	var callers sync.WaitGroup
	callers.Go(func() {
		announce(t, a, floor(1, 1, 2))
		frozen.requireNotBelow(t, floor(1, 1, 2))
	})
	waittest.Eventually(t, "it has the announcement", frozen.near.waits)
	if err := c.Cluster().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	join(t, c, "another")
	callers.Wait()
}

// Without its registry nobody knows who is live: that is waited for.
func TestALostRegistryIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	c := alone(t)
	a, g := coherence.NewAnnouncer(c, discard, nil), join(t, c, "g1")
	for i := range int64(3) {
		g.has(t, 1, 1+i)
		if err := c.Cluster().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		// On a slow machine the gateway may not be back while an announcement waits: it is made again, as a relay does.
		waittest.EventuallyNil(t, "the announcement is in force", func(ctx context.Context) error { return a.Announce(ctx, floor(1, 1, 2+i)) })
		g.requireNotBelow(t, floor(1, 1, 2+i))
		waittest.Eventually(t, "the gateway is back", g.Live)
	}
}

// A message that was lost on its way is found out by its sender.
func TestALostMessageEndsTheLease(t *testing.T) {
	t.Parallel()
	c, reg := alone(t), prometheus.NewRegistry()
	a, g := coherence.NewAnnouncer(c, discard, reg), join(t, c, "g1")
	registry, err := c.Cluster().HGetAll(t.Context(), "{near}:registry").Result()
	if err != nil {
		t.Fatal(err)
	}
	var inbox string
	for field := range registry {
		if session, ok := strings.CutPrefix(field, "lease:"); ok {
			inbox = "{near}:inbox:" + session
		}
	}
	g.has(t, 1, 1)
	var stealing sync.WaitGroup
	stealing.Go(func() {
		if _, err := c.Cluster().BLPop(t.Context(), 5*time.Second, inbox).Result(); err != nil {
			t.Errorf("nothing was stolen: %v", err)
		}
	})
	// Whoever waits longest is served first: by now that is the thief.
	<-time.After(700 * time.Millisecond)
	// On a slow machine the lease ends a little later than an announcement may wait: it is made again, as a relay does.
	waittest.EventuallyNil(t, "the announcement is in force", func(ctx context.Context) error { return a.Announce(ctx, floor(1, 1, 2)) })
	g.requireNotBelow(t, floor(1, 1, 2))
	stealing.Wait()
	if n := count(t, reg, "cache_announcements_total", "lapsed"); n != 1 && count(t, reg, "cache_announcements_total", "failed") == 0 {
		t.Errorf("%v leases were ended", n)
	}
	waittest.Eventually(t, "the gateway is back", g.Live)
	if _, ok := g.near.get(1); ok {
		t.Error("what was not announced is still there")
	}
}

func TestClearAllEmptiesEveryTier(t *testing.T) {
	t.Parallel()
	c := alone(t)
	s, a := &tier{shared(c), t, c}, coherence.NewAnnouncer(c, discard, nil)
	g := join(t, c, "g1")
	s.requireStored(true, s.token(1), book(1, 1, 1))
	g.has(t, 1, 1)
	if err := a.ClearAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.near.get(1); ok {
		t.Error("the near tier keeps a copy")
	}
	s.token(1)
	if !g.Live() {
		t.Error("the lease was lost with the books")
	}
}

// While Redis is away each lease lapses, once, and nobody waits for it again.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 1, 0)
	c := open(t, nodes.Config())
	a, g := coherence.NewAnnouncer(c, discard, nil), join(t, c, "g1")
	g.has(t, 1, 1)
	announce(t, a, floor(1, 1, 1))
	nodes.Kill(0)
	for range 5 {
		if err := a.Announce(t.Context(), floor(1, 1, 2)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("announced to nobody: %v", err)
		}
		if g.Live() {
			t.Error("a gateway is live that no announcement reaches")
		}
	}
	begin := time.Now()
	for range 20 {
		_ = a.Announce(t.Context(), floor(1, 1, 2))
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("20 announcements to nobody took %s", took)
	}
	nodes.Restart(0)
	waittest.Eventually(t, "the gateway is back", g.Live)
	waittest.Eventually(t, "an announcement is confirmed", func() bool { return a.Announce(t.Context(), floor(1, 1, 3)) == nil })
	g.requireNotBelow(t, floor(1, 1, 3))
}

func TestWithoutRedisThereIsNobodyToTell(t *testing.T) {
	t.Parallel()
	a := coherence.NewAnnouncer(nil, discard, nil)
	announce(t, a, floor(1, 1, 1))
	if err := a.ClearAll(t.Context()); err != nil {
		t.Error(err)
	}
	f := coherence.NewFollower(nil, "g1", newMemory(), discard, nil)
	part := f.Part()
	if err := part.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Live() || (*coherence.Follower)(nil).Live() {
		t.Error("live without a registry")
	}
	if err := part.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
