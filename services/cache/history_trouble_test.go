package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"bookstore/services/cache"
	"bookstore/services/platform/redis"
)

const registry = "{near}:registry"

// trouble is made until ctx ends, one kind after another.
func (w *world) trouble(ctx context.Context) {
	w.Helper()
	for n := 0; ctx.Err() == nil; n++ {
		from := w.history.now()
		switch n % 5 {
		case 0:
			w.kill("book:{1}")
		case 1:
			w.evict()
		case 2: // in favour of one that does not know all that its master did
			if replicas := w.nodes.ReplicasOf(registry); len(replicas) > 0 {
				w.nodes.Promote(replicas[0])
			}
		case 3:
			w.holdUp(w.gateways[n%len(w.gateways)])
		case 4:
			w.freeze(registry)
		}
		w.nodes.WaitWhole()
		w.troubles = append(w.troubles, period{from, w.history.now()})
		<-time.After(time.Second)
	}
}

// kill ends the master of a key for as long as it takes to replace it.
func (w *world) kill(key string) {
	w.Helper()
	died := w.nodes.MasterOf(key)
	w.nodes.Kill(died)
	w.replaced(key, died)
	w.nodes.Restart(died)
}

// freeze lets the master of a key come back, replaced, and believing that it still is one.
func (w *world) freeze(key string) {
	w.Helper()
	frozen, enough := w.nodes.MasterOf(key), time.After(2500*time.Millisecond)
	w.nodes.Freeze(frozen)
	w.replaced(key, frozen)
	<-enough
	w.nodes.Thaw(frozen)
}

func (w *world) replaced(key string, master int) {
	w.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); w.nodes.MasterOf(key) == master; <-tick.C {
		if time.Since(begin) > 20*time.Second {
			w.Fatalf("the master of %s was not replaced", key)
		}
	}
}

// forget has Redis lose books, as it does when its memory is full.
func (w *world) forget(ctx context.Context, client *redis.Client) {
	for ctx.Err() == nil {
		_ = client.Cluster().Del(ctx, fmt.Sprintf("book:{%d}", 1+rand.Int64N(shelved))).Err()
		<-time.After(rand.N(40 * time.Millisecond))
	}
}

// evict has Redis lose everything.
func (w *world) evict() {
	w.Helper()
	for _, i := range w.nodes.Masters() {
		if err := w.nodes.Node(i).FlushAll(w.Context()).Err(); err != nil {
			w.Errorf("flush: %v", err)
		}
	}
}

// holdUp stops a gateway for longer than announcements wait for it.
func (w *world) holdUp(g *front) {
	g.near.held.Lock()
	defer g.near.held.Unlock()
	<-time.After(2 * time.Second)
}

// finish makes acts of changes: from the ledger it takes the versions that orders made. A
// change that its announcement did not confirm is covered by the one that a round made,
// which is a matter of time and so of the machine: how late that was is logged.
func (w *world) finish() {
	w.Helper()
	versions := w.versions()
	var latest time.Duration
	for _, c := range w.changes {
		if c.gid != "" {
			c.version = versions[c.gid]
		}
		p := part{c.book, c.of}
		w.history.acts[p] = append(w.history.acts[p], act{"begun", c.version, c.who, c.begun, c.begun})
		switch {
		case c.answered == 0:
		case c.unsure:
			latest = max(latest, w.reachable(c.answered, w.history.announced(p, c.version)))
		default:
			w.history.acts[p] = append(w.history.acts[p], act{"announced", c.version, c.who, c.answered, c.answered})
		}
	}
	w.Logf("what was not confirmed at once took up to %s of a reachable Redis (the protocol: 1s)", latest)
}

// reachable is for how long of a time Redis was what it should be.
func (w *world) reachable(from, to time.Duration) time.Duration {
	left := to - from
	for _, p := range w.troubles {
		left -= max(0, min(to, p.to)-max(from, p.from))
	}
	return left
}

// versions are those that orders gave the stock: each change of a book's stock is the next
// row of its ledger and its next version.
func (w *world) versions() map[string]int64 {
	w.Helper()
	found := map[string]int64{}
	w.ledger(func(_, version, _ int64, gid string) { found[gid] = version })
	return found
}

// ledger goes through all changes of stock.
func (w *world) ledger(each func(book, version, copies int64, gid string)) {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), `
		select book_id, row_number() over book, sum(delta) over book, coalesce(gid, '')
		from stock_movements window book as (partition by book_id order by id)`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var book, version, copies int64
		var gid string
		if err := rows.Scan(&book, &version, &copies, &gid); err != nil {
			w.Fatal(err)
		}
		each(book, version, copies, gid)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
}

// requireCopiesAreTrue: each copy was what the ledger says of its version.
func (w *world) requireCopiesAreTrue() {
	w.Helper()
	were := map[copies]bool{}
	w.ledger(func(book, version, n int64, _ string) { were[copies{book, version, n}] = true })
	for _, c := range w.copies {
		if !were[c] {
			w.Errorf("%d copies of book %d were read with version %d of its stock", c.copies, c.book, c.version)
		}
	}
}

// requireAllAnnouncedInTheEnd: what died on its way to the caches is brought there by others.
func (w *world) requireAllAnnouncedInTheEnd() {
	w.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begin, left := time.Now(), -1; left != 0; <-tick.C {
		if err := w.pool.QueryRow(w.Context(), "select count(*) from cache_outbox").Scan(&left); err != nil {
			w.Fatal(err)
		}
		if time.Since(begin) > 10*time.Second {
			w.Fatalf("%d changes are still not announced", left)
		}
	}
	for id := int64(1); id <= w.newest.Load(); id++ {
		want, err := w.answer(w.Context(), id)
		if err != nil {
			w.Fatal(err)
		}
		for _, g := range w.gateways {
			c, source, err := g.Get(w.Context(), id, w.origin)
			if err != nil {
				w.Fatal(err)
			}
			if c.Version != want.Entry.Version || c.StockVersion != want.Entry.StockVersion {
				w.Errorf("book %d is at %d.%d, and %s shows %d.%d (%s) in the end",
					id, want.Entry.Version, want.Entry.StockVersion, g.name, c.Version, c.StockVersion, source)
			}
		}
	}
}

// requireEnough: a history in which little happened says little.
func (w *world) requireEnough() {
	w.Helper()
	confirmed := 0
	for _, c := range w.changes {
		if c.answered > 0 && !c.unsure {
			confirmed++
		}
	}
	w.Logf("%d changes, %d of them confirmed, %d books, %d troubles, reads: %v",
		len(w.changes), confirmed, w.newest.Load(), len(w.troubles), w.sources)
	if confirmed < 200 || w.sources[cache.Near] < 1000 || w.sources[cache.Shared] < 50 || w.sources[cache.Miss] < 200 {
		w.Error("too little has happened to mean anything")
	}
}
