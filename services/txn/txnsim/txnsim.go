// Package txnsim simulates a system that uses ../twophase and ../saga: it runs the
// real engines in several coordinators over databases in memory, on a virtual clock
// (testing/synctest). Messages are lost, repeated, delayed and reordered, coordinators
// and participants crash and freeze, clocks jump, and the leader of the coordinators'
// database fails with what was not replicated. Then the faults end, and all that
// ../PROTOCOL.md promises must hold. A Scenario says what is transacted.
//
// A run is named by its seed. SIM_SEED=n plays one run again and logs what happened
// in it; SIM_RUNS=n plays n runs.
package txnsim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/platform/wait"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

const (
	// ChaosTime is how long faults happen. Clients should begin within it.
	ChaosTime = 6 * time.Second
	// doubtEnds is how long after the faults an attempt that was begun before may be
	// in doubt: an attempt's own time, and the last call that is still lost.
	doubtEnds = 5 * time.Second
	// lastMessage is how long after the last client a late message may arrive.
	lastMessage = 6 * time.Second
)

// Scenario is what a run is about.
type Scenario struct {
	Databases []*Database       // the participants, made by World.NewDatabase
	Sagas     []saga.Definition // none: the coordinators have no engine of sagas
	// Serve returns what a coordinator offers to its clients, for Node.Service; nil is
	// nothing beside its engines.
	Serve func(n *Node) any
	// Clients sends all requests, by World.Ask, and returns when they are answered.
	Clients func()
	// Faults are what else may happen to the system, beside the package's own faults.
	Faults []Fault
	// Effect names what a committed transaction did, if no two may do the same; nil
	// stands for its caller and key.
	Effect func(tx twophase.Transaction) string
	// Check reports what else does not hold at the end. It is not called after a heuristic
	// outcome, which leaves databases that do not agree.
	Check func()
}

// Fault is something that happens again and again in half of the runs.
type Fault struct {
	Name        string
	Least, Most time.Duration // between two times
	Do          func()
}

// Defect is a mistake that is planted in the simulated participants and network, to
// test that the simulation notices it.
type Defect string

// The defects.
const (
	none Defect = ""
	// NoTombstone: an abort leaves nothing behind.
	NoTombstone Defect = "no tombstone"
	// NoMarker: a commit leaves nothing behind.
	NoMarker Defect = "no marker"
	// LostIsDone: a commit that finds no prepared transaction (42704) reports success.
	LostIsDone Defect = "42704 is success"
	// UnknownIsYes: a vote that did not arrive is a yes.
	UnknownIsYes Defect = "unknown is yes"
	// UnknownIsDone: an acknowledgement that did not arrive is one.
	UnknownIsDone Defect = "unknown is acknowledged"
	// DecidedByReading: a decision that is asked for again is read, not written.
	DecidedByReading Defect = "decided by reading"
	// NoStepTombstone: an undo of a step that has not been made leaves nothing behind.
	NoStepTombstone Defect = "no tombstone of a step"
	// StepAgain: a step that is asked for again is made again.
	StepAgain Defect = "a step is made again"
)

// Play plays Runs runs of a scenario, or those that the environment asks for, and
// fails t with the seed of each run in which something did not hold.
func Play(t *testing.T, scenario func(w *World) Scenario) {
	t.Helper()
	defer repeatable()()
	if text := os.Getenv("SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		broken, story := simulate(t, scenario, seed, none, true)
		t.Log(strings.Join(story, "\n"))
		for _, b := range broken {
			t.Error(b)
		}
		return
	}
	runs := Runs
	if text := os.Getenv("SIM_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	first := rand.Uint64N(1 << 40)
	spread(t, runs, func(t *testing.T, i int) bool {
		seed := first + uint64(i) //nolint:gosec // i is not negative
		broken, _ := simulate(t, scenario, seed, none, false)
		for _, b := range broken {
			t.Errorf("SIM_SEED=%d: %s", seed, b)
		}
		return len(broken) == 0
	})
}

// NoticeDefects plays a scenario with each defect until a run finds it, and fails t
// if 1000 runs do not: a simulation that notices nothing proves nothing.
func NoticeDefects(t *testing.T, scenario func(w *World) Scenario, defects ...Defect) {
	t.Helper()
	defer repeatable()()
	for _, defect := range defects {
		t.Run(string(defect), func(t *testing.T) {
			for seed := range uint64(1000) {
				if broken, _ := simulate(t, scenario, seed, defect, false); len(broken) > 0 {
					t.Logf("noticed in run %d: %s", seed, broken[0])
					return
				}
			}
			t.Error("nothing was noticed")
		})
	}
}

// spread gives runs to as many workers as there are cores, until one fails.
func spread(t *testing.T, runs int, do func(*testing.T, int) bool) {
	t.Helper()
	t.Run("runs", func(t *testing.T) {
		workers := runtime.GOMAXPROCS(0)
		for worker := range workers {
			t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
				t.Parallel()
				for i := worker; i < runs; i += workers {
					if !do(t, i) {
						return
					}
				}
			})
		}
	})
}

// repeatable makes pauses the same in each run of a seed, until restore is called.
func repeatable() (restore func()) {
	before := wait.Jitter
	wait.Jitter = jitterByTime
	return func() { wait.Jitter = before }
}

// jitterByTime derives a pause from the run's own time.
func jitterByTime(most time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, time.Now().UnixNano())
	return time.Duration(h.Sum64() % uint64(most)) //nolint:gosec // less than most
}

// simulate plays one run and returns what did not hold in it, and what happened if
// that is told.
func simulate(t *testing.T, scenario func(w *World) Scenario, seed uint64, defect Defect, told bool) (broken, story []string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, defect, told)
		w.scenario = scenario(w)
		w.play()
		broken, story = w.broken, w.story
	})
	return broken, story
}

func (w *World) play() {
	var everyone sync.WaitGroup
	for _, d := range w.scenario.Databases {
		go d.recover()
	}
	everyone.Go(w.chaos)
	everyone.Go(w.scenario.Clients)
	w.Pass(ChaosTime)
	calm := time.Now()
	w.Pass(doubtEnds)
	w.checkDoubt(calm)
	everyone.Wait()
	w.awaitSagas()
	w.Pass(lastMessage)
	w.checkEnd()
	close(w.over)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range w.nodes {
		n.stop(gone)
	}
}
