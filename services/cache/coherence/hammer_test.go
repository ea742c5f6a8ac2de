package coherence_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

const (
	hammered  = 5 // books
	hammering = 9 * time.Second
)

// world is a few books that are read through caches and changed without end.
type world struct {
	t         *testing.T
	books     [hammered]atomic.Int64 // their stock versions, as committed
	announced [hammered]atomic.Int64 // what has been announced for certain
	shared    *coherence.Shared
	reads     atomic.Int64
	hits      atomic.Int64
	writes    atomic.Int64
}

// write commits a change and announces it.
func (w *world) write(ctx context.Context, a *coherence.Announcer, id int64) {
	version := w.books[id].Add(1)
	if a.Announce(ctx, floor(id, 1, version)) != nil {
		return
	}
	w.writes.Add(1)
	for was := w.announced[id].Load(); was < version && !w.announced[id].CompareAndSwap(was, version); {
		was = w.announced[id].Load()
	}
}

// read goes through the tiers, and slowly past them.
func (w *world) read(ctx context.Context, g *gateway, id int64) (version int64) {
	if version, ok := g.answers(id); ok {
		w.hits.Add(1)
		return version
	}
	began, live := g.near.begin(id), g.Live()
	e, token, err := w.shared.Lookup(ctx, id)
	if err != nil || e == nil {
		e = book(id, 1, w.books[id].Load())
		<-time.After(rand.N(3 * time.Millisecond))
		_, _ = w.shared.Store(ctx, token, e)
	}
	if live {
		g.near.keep(began, id, e.StockVersion)
	}
	return e.StockVersion
}

// requireNothingGoesBack reads through a gateway until ctx ends.
func (w *world) requireNothingGoesBack(ctx context.Context, g *gateway) {
	for ctx.Err() == nil {
		id := rand.Int64N(hammered)
		least := w.announced[id].Load()
		if got := w.read(ctx, g, id); got < least {
			w.t.Errorf("book %d: read %d after %d was announced", id, got, least)
			return
		}
		w.reads.Add(1)
		<-time.After(rand.N(500 * time.Microsecond))
	}
}

// Whatever happens to Redis: what an announcement was confirmed for is never
// read less, by anybody, not even for a moment.
func TestNothingGoesBackBehindAnAnnouncement(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	c := open(t, nodes.Config())
	w := &world{t: t, shared: shared(c)}
	w.shared.Patience = 200 * time.Millisecond
	gateways := []*gateway{join(t, c, "g1"), join(t, c, "g2"), join(t, c, "g3")}
	ctx, cancel := context.WithTimeout(t.Context(), hammering)
	defer cancel()
	var working sync.WaitGroup
	for _, g := range gateways {
		working.Go(func() { w.requireNothingGoesBack(ctx, g) })
		working.Go(func() { w.requireNothingGoesBack(ctx, g) })
	}
	for range 2 {
		a := coherence.NewAnnouncer(c, discard, nil)
		working.Go(func() {
			for ctx.Err() == nil {
				w.write(ctx, a, rand.Int64N(hammered))
				<-time.After(rand.N(10 * time.Millisecond))
			}
		})
	}
	trouble(ctx, t, c, nodes, gateways)
	working.Wait()
	t.Logf("%d reads, %d of them near, %d announcements", w.reads.Load(), w.hits.Load(), w.writes.Load())
	if w.hits.Load() < 1000 || w.writes.Load() < 100 {
		t.Error("too little has happened to mean anything")
	}
}

// trouble is made until ctx ends, in the test's goroutine.
func trouble(ctx context.Context, t *testing.T, c *redis.Client, nodes *redistest.Fleet, gateways []*gateway) {
	t.Helper()
	key := "{near}:registry"
	for step := 0; ctx.Err() == nil; step++ {
		switch step % 4 {
		case 0: // a replica takes over without what its master has not sent it
			waittest.Eventually(t, "there is a replica", func() bool { return len(nodes.ReplicasOf(key)) > 0 })
			nodes.Promote(nodes.ReplicasOf(key)[0])
			nodes.WaitWhole()
		case 1: // keys are evicted
			for _, id := range []string{"0", "1", "2"} {
				_ = c.Cluster().Del(ctx, "book:{"+id+"}").Err()
			}
			_ = c.Cluster().Del(ctx, key).Err()
		case 2: // a gateway is held up
			release := gateways[0].near.block()
			<-time.After(500 * time.Millisecond)
			release()
		case 3: // a master dies and comes back
			died := nodes.MasterOf("book:{3}")
			nodes.Kill(died)
			<-time.After(200 * time.Millisecond)
			nodes.Restart(died)
			nodes.WaitWhole()
		}
		<-time.After(300 * time.Millisecond)
	}
}
