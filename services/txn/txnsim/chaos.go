package txnsim

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// chaos makes faults happen until ChaosTime is over, and then mends what is broken.
func (w *World) chaos() {
	var going sync.WaitGroup
	for i := range 2 + w.Draw("nodes").IntN(2) {
		w.disturbNode(&going, fmt.Sprint("c", i))
	}
	for _, d := range w.scenario.Databases {
		w.disturbDatabase(&going, d)
	}
	w.disturbLeader(&going)
	for _, f := range w.scenario.Faults {
		w.again(&going, w.Chance(f.Name+" happens", .5), f)
	}
	w.Pass(ChaosTime)
	close(w.calm)
	w.Tellf("calm")
	going.Wait()
	for _, d := range w.scenario.Databases {
		d.skew.Store(0)
	}
	w.leader.skew.Store(0)
}

// again makes a fault happen again and again, if it is on.
func (w *World) again(going *sync.WaitGroup, on bool, f Fault) {
	if !on {
		return
	}
	going.Go(func() {
		for w.Pass(w.Between(f.Name, f.Least, f.Most)) && !w.isCalm() {
			f.Do()
		}
	})
}

// disturbNode boots a coordinator, which crashes and freezes.
func (w *World) disturbNode(going *sync.WaitGroup, name string) {
	life := 0
	n := w.boot(name, life)
	w.again(going, w.rates.crashes, Fault{name + " crashes", 50 * time.Millisecond, 4 * time.Second, func() {
		if w.Chance(name+" is asked", .3) {
			w.Tellf("%s is asked to stop", n.Name)
			limit, cancel := context.WithTimeout(context.Background(), w.Between(name+" stops", 0, time.Second))
			n.stop(limit)
			cancel()
		}
		w.Tellf("%s dies", n.Name)
		close(n.died)
		w.Pass(w.Between(name+" is down", 10*time.Millisecond, 2*time.Second))
		life++
		n = w.boot(name, life)
		w.Tellf("%s starts", n.Name)
	}})
	w.again(going, w.rates.freezes, Fault{name + " freezes", 100 * time.Millisecond, 5 * time.Second, func() {
		frozen := w.anyNode(name + " freezes")
		w.Tellf("%s freezes", frozen.Name)
		frozen.freeze()
		w.Pass(w.Between(name+" is frozen", 10*time.Millisecond, 3*time.Second))
		frozen.melt()
		w.Tellf("%s goes on", frozen.Name)
	}})
}

// disturbDatabase has a participant crash, its clock jump, and what it has prepared rolled
// back by hand.
func (w *World) disturbDatabase(going *sync.WaitGroup, d *Database) {
	w.again(going, w.rates.restarts, Fault{d.Name + " crashes", 100 * time.Millisecond, 3 * time.Second, func() {
		w.Tellf("%s crashes", d.Name)
		d.crash()
		w.Pass(w.Between(d.Name+" is down", time.Millisecond, time.Second))
		d.restart()
		w.Tellf("%s is back", d.Name)
	}})
	w.again(going, w.rates.meddling, Fault{d.Name + " is meddled with", 50 * time.Millisecond, time.Second, d.meddle})
	w.again(going, w.rates.jumps, Fault{d.Name + " jumps", 100 * time.Millisecond, 4 * time.Second, func() {
		d.skew.Store(int64(w.Between(d.Name+" jumps", -4*time.Second, 4*time.Second)))
	}})
}

// disturbLeader has the clock of the coordinators' database jump, and its leader fail.
func (w *World) disturbLeader(going *sync.WaitGroup) {
	w.again(going, w.rates.jumps, Fault{"leader jumps", 100 * time.Millisecond, 4 * time.Second, func() {
		by := w.Between("leader jumps", -2*time.Second, 2*time.Second)
		w.Tellf("the clock of the coordinators' database is off by %v", by)
		w.leader.skew.Store(int64(by))
	}})
	w.again(going, w.rates.failovers, Fault{"leader fails", 100 * time.Millisecond, 3 * time.Second, func() {
		w.Tellf("the leader of the coordinators' database fails")
		w.leader.stop()
		w.Pass(w.Between("leader is away", time.Millisecond, time.Second))
		w.leader.start()
		w.Tellf("the coordinators' database has a leader")
	}})
}
