package checkout_test

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

	"bookstore/services/checkout"
	"bookstore/services/platform/wait"
)

// The simulation runs real coordinators over a database and participants in
// memory, in a time of their own, while messages are lost, repeated, late and
// in any order, coordinators and participants die or freeze, clocks jump, and
// the leader of coordinatordb dies with what it had not replicated. Then all is
// mended, and everything that the protocol promises must hold.
//
// SIM_SEED=n plays one run again and tells its story; SIM_RUNS=n plays n.

const (
	// doubtEnds is when nothing begun before the calm may be in doubt any more:
	// an attempt's own time, and the last call that is still lost.
	doubtEnds = 5 * time.Second
	// lastMessage is when every late message has arrived.
	lastMessage = 6 * time.Second
)

// defect is something that is broken on purpose.
type defect int

const (
	sound       defect = iota
	noTombstone        // an abort leaves nothing behind
	forgetful          // a commit leaves nothing behind
	trusting           // a commit that finds nothing (42704) says that it is done
	hopeful            // a vote that did not arrive is a yes
	careless           // an acknowledgement that did not arrive is one
	byReading          // a decision that is asked for again is read, not written
	lateness           // a prepare is never too late
)

func TestOrdersSurviveAnyInterleaving(t *testing.T) {
	defer repeatable()()
	if text := os.Getenv("SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		broken, story := simulate(t, seed, sound, true)
		t.Log(strings.Join(story, "\n"))
		for _, b := range broken {
			t.Error(b)
		}
		return
	}
	runs := simRuns
	if text := os.Getenv("SIM_RUNS"); text != "" {
		runs, _ = strconv.Atoi(text)
	}
	first := rand.Uint64N(1 << 40)
	shared(t, runs, func(t *testing.T, i int) bool {
		seed := first + uint64(i)
		broken, _ := simulate(t, seed, sound, false)
		for _, b := range broken {
			t.Errorf("SIM_SEED=%d: %s", seed, b)
		}
		return len(broken) == 0
	})
}

// A simulation that notices nothing proves nothing.
func TestTheSimulationNoticesWhatIsBroken(t *testing.T) {
	defer repeatable()()
	for name, d := range map[string]defect{
		"no tombstone": noTombstone, "no marker": forgetful, "42704 is success": trusting,
		"unknown is yes": hopeful, "unknown is acknowledged": careless, "settled by reading": byReading,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(1000) {
				if broken, _ := simulate(t, seed, d, false); len(broken) > 0 {
					t.Logf("noticed in run %d: %s", seed, broken[0])
					return
				}
			}
			t.Error("nothing was noticed")
		})
	}
}

// shared deals runs out to as many workers as there are cores, until one fails.
func shared(t *testing.T, runs int, do func(*testing.T, int) bool) {
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
	wait.Jitter = byTheClock
	return func() { wait.Jitter = before }
}

// byTheClock is jitter that a run's own time decides.
func byTheClock(most time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, time.Now().UnixNano())
	return time.Duration(h.Sum64() % uint64(most))
}

// simulate plays one run and returns the promises that were broken in it.
func simulate(t *testing.T, seed uint64, d defect, told bool) (broken, story []string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, d, told)
		w.play()
		broken, story = w.broken, w.story
	})
	return broken, story
}

func (w *world) play() {
	var everyone sync.WaitGroup
	for _, d := range []*database{w.books.database, w.orders.database} {
		go d.doubt()
	}
	everyone.Go(w.chaos)
	orders := 3 + w.draw("orders").IntN(6)
	for i := range orders {
		everyone.Go(func() { w.customer(fmt.Sprint("customer", i)) })
	}
	w.pass(chaosTime)
	calm := time.Now()
	w.pass(doubtEnds)
	w.undoubted(calm)
	everyone.Wait()
	w.pass(lastMessage)
	w.settled()
	close(w.over)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range w.nodes {
		_ = n.service.Transactions.Stop(gone)
	}
}

// customer orders, in a hurry twice at once, and may cancel.
func (w *world) customer(name string) {
	w.pass(w.between(name+" comes", 0, chaosTime*3/4))
	request := checkout.OrderRequest{CustomerID: name}
	for id := range int64(3) {
		if w.chance(name+" wants", .5) || (id == 2 && len(request.Items) == 0) {
			request.Items = append(request.Items, checkout.RequestItem{BookID: id + 1, Quantity: 1 + w.draw(name+" takes").Int64N(2)})
		}
	}
	var asking sync.WaitGroup
	ask := func(c *client, ordered func(string)) {
		c.w = w
		w.mu.Lock()
		w.clients = append(w.clients, c)
		w.mu.Unlock()
		asking.Go(func() { c.run(ordered) })
	}
	cancel := func(id string) {
		for i := range w.draw(name + " cancels").IntN(3) {
			c := &client{name: fmt.Sprint(name, " cancelling ", i), orderID: id, request: request}
			if w.chance(c.name, .5) {
				c.key = fmt.Sprint("cancel-", name, "-", w.draw(c.name).IntN(2))
			}
			ask(c, nil)
		}
	}
	ask(&client{name: name, key: "key-" + name, request: request}, cancel)
	if w.chance(name+" is in a hurry", .4) {
		w.pass(w.between(name+" hurries", 0, 2*time.Second))
		ask(&client{name: name + "'s twin", key: "key-" + name, request: request}, nil)
	}
	asking.Wait()
}
