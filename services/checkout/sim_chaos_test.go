package checkout_test

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// chaosTime is how long things go wrong.
const chaosTime = 6 * time.Second

// chaos lets things go wrong until calm, then mends them.
func (w *world) chaos() {
	var going sync.WaitGroup
	every := func(name string, on bool, least, most time.Duration, do func()) {
		if !on {
			return
		}
		going.Go(func() {
			for w.pass(w.between(name, least, most)) && !w.isCalm() {
				do()
			}
		})
	}
	for i := range 2 + w.draw("nodes").IntN(2) {
		name := fmt.Sprint("c", i)
		life := 0
		n := w.boot(name, life)
		every(name+" crashes", w.rough.crashes, 50*time.Millisecond, 4*time.Second, func() {
			if w.chance(name+" is told", .3) {
				w.tellf("%s is told to stop", n.name)
				limit, cancel := context.WithTimeout(context.Background(), w.between(name+" stops", 0, time.Second))
				_ = n.service.Transactions.Stop(limit)
				cancel()
			}
			w.tellf("%s dies", n.name)
			close(n.died)
			w.pass(w.between(name+" is down", 10*time.Millisecond, 2*time.Second))
			life++
			n = w.boot(name, life)
			w.tellf("%s lives", n.name)
		})
		every(name+" freezes", w.rough.freezes, 100*time.Millisecond, 5*time.Second, func() {
			frozen := w.anyNode(name + " freezes")
			w.tellf("%s freezes", frozen.name)
			frozen.freeze()
			w.pass(w.between(name+" is frozen", 10*time.Millisecond, 3*time.Second))
			frozen.melt()
			w.tellf("%s melts", frozen.name)
		})
	}
	for _, d := range []*database{w.books.database, w.orders.database} {
		every(d.name+" crashes", w.rough.restarts, 100*time.Millisecond, 3*time.Second, func() {
			w.tellf("%s crashes", d.name)
			d.crash()
			w.pass(w.between(d.name+" is down", time.Millisecond, time.Second))
			d.restart()
			w.tellf("%s is back", d.name)
		})
		every(d.name+" is meddled with", w.rough.meddling, 50*time.Millisecond, time.Second, d.meddle)
		every(d.name+" jumps", w.rough.jumps, 100*time.Millisecond, 4*time.Second, func() {
			d.skew.Store(int64(w.between(d.name+" jumps", -4*time.Second, 4*time.Second)))
		})
	}
	every("leader jumps", w.rough.jumps, 100*time.Millisecond, 4*time.Second, func() {
		by := w.between("leader jumps", -2*time.Second, 2*time.Second)
		w.tellf("coordinatordb's clock is off by %v", by)
		w.ledger.skew.Store(int64(by))
	})
	every("leader dies", w.rough.failovers, 100*time.Millisecond, 3*time.Second, func() {
		w.tellf("coordinatordb's leader dies")
		w.ledger.stop()
		w.pass(w.between("leader is away", time.Millisecond, time.Second))
		w.ledger.start()
		w.tellf("coordinatordb has a leader")
	})
	every("prices", w.rough.prices, 10*time.Millisecond, 500*time.Millisecond, func() {
		w.books.mu.Lock()
		defer w.books.mu.Unlock()
		w.books.price[1+w.draw("dearer").Int64N(3)]++
	})
	w.pass(chaosTime)
	close(w.calm)
	w.tellf("calm")
	going.Wait()
	w.books.skew.Store(0)
	w.orders.skew.Store(0)
	w.ledger.skew.Store(0)
}
