package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The size of the test. A run is mostly waiting: for a process to start, for a lease to
// lapse. Hence more shops than processors.
const (
	sites          = 4
	cleanRuns      = 2
	crashSelection = 64
	secondCrashes  = 4 // one crash in so many is followed by another
	mostFailures   = 5
)

// assignment is a crash in a scenario.
type assignment struct {
	scenario scenario
	crash    crash
	sure     bool   // every clean run came by its point
	draw     uint64 // decides on a second crash
}

func (a assignment) String() string { return a.scenario.name + ": " + a.crash.String() }

// A process is killed at every message of every scenario, in turn: before it arrives, and
// after it was answered. The list of points is what the proxies between the processes saw
// of clean runs, so a new step is in it by itself. After some of the crashes another
// follows, at a message that was seen while the shop recovered from the first.
//
// CRASH_POINTS is "all", or the beginning of the names of those to run; without it a
// selection is drawn. CRASH_SEED repeats a draw.
func TestEveryCrash(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	c := &campaign{t: t, ctx: ctx, seed: crashSeed(t), wanted: os.Getenv("CRASH_POINTS")}
	c.open()
	all := c.survey()
	if t.Failed() {
		return
	}
	chosen := c.choose(all)
	start := time.Now()
	c.each(len(chosen), func(s *site, i int) bool { return c.try(s, chosen[i]) })
	t.Logf("%d crashes of %d, %d of %d second ones, in %.0f s; CRASH_SEED=%d",
		len(chosen), len(all), c.seconds.Load(), c.planned.Load(), time.Since(start).Seconds(), c.seed)
}

// campaign is the test's work, spread over shops.
type campaign struct {
	t      *testing.T
	ctx    context.Context
	seed   uint64
	wanted string
	sites  []*site

	failures         atomic.Int64
	planned, seconds atomic.Int64 // crashes after the first: meant, and come by
}

func (c *campaign) open() {
	for range sites {
		c.sites = append(c.sites, newSite(c.t))
	}
	<-time.After(idleTime)
	for _, s := range c.sites {
		s.watch.learned()
	}
}

// each does n things on the shops; a shop on which one failed gets no more.
func (c *campaign) each(n int, do func(s *site, i int) bool) {
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var working sync.WaitGroup
	for _, s := range c.sites {
		working.Go(func() {
			for i := range work {
				if c.failures.Load() >= mostFailures || !do(s, i) {
					return
				}
			}
		})
	}
	working.Wait()
}

func (c *campaign) failf(format string, args ...any) bool {
	c.t.Errorf(format, args...)
	c.failures.Add(1)
	return false
}

// survey derives the crashes from clean runs.
func (c *campaign) survey() (all []assignment) {
	told := scenarios
	if i := slices.IndexFunc(told, func(s scenario) bool { return strings.HasPrefix(c.wanted, s.name) }); i >= 0 {
		told = told[i : i+1]
	}
	runs := make([][]point, len(told)*cleanRuns)
	c.each(len(runs), func(s *site, i int) bool {
		seen, err := s.crash(c.ctx, told[i/cleanRuns])
		if err != nil {
			return c.failf("%s, and nobody dies: %v", told[i/cleanRuns].name, err)
		}
		runs[i] = seen.points
		return true
	})
	random := rand.New(rand.NewPCG(c.seed, 1))
	for i, what := range told {
		of := runs[i*cleanRuns : (i+1)*cleanRuns]
		sure := inEach(of)
		if len(sure) == 0 {
			c.failf("%s: no point was seen", what.name)
		}
		for _, p := range union(of) {
			for _, victim := range p.victims() {
				all = append(all, assignment{what, crash{p, victim}, slices.Contains(sure, p), random.Uint64()})
			}
		}
		c.t.Logf("%s: %d points", what.name, len(sure))
	}
	if c.wanted != "" {
		for _, a := range all {
			c.t.Log(a)
		}
	}
	return all
}

// choose takes the same number of crashes of each scenario, unless others are wanted.
func (c *campaign) choose(all []assignment) (chosen []assignment) {
	if c.wanted != "" {
		return slices.DeleteFunc(slices.Clone(all), func(a assignment) bool {
			return c.wanted != "all" && !strings.HasPrefix(a.String(), c.wanted)
		})
	}
	random := rand.New(rand.NewPCG(c.seed, 2))
	for i, what := range scenarios {
		of := slices.DeleteFunc(slices.Clone(all), func(a assignment) bool { return a.scenario.name != what.name })
		random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		share := (crashSelection + i) / len(scenarios)
		chosen = append(chosen, of[:min(share, len(of))]...)
	}
	return chosen
}

// try makes a crash, twice if it did not come to it the first time: what else is under way
// differs from run to run.
func (c *campaign) try(s *site, a assignment) bool {
	for tries := 1; ; tries++ {
		seen, err := s.crash(c.ctx, a.scenario, a.crash)
		switch {
		case err != nil:
			return c.failf("%s: %v", a, err)
		case seen.happened():
			return a.draw%secondCrashes != 0 || c.tryAnother(s, a, seen)
		case tries == 2 && a.sure:
			c.failf("%s: it was not come by", a)
			return true // the shop is well
		case tries == 2:
			c.t.Logf("%s: it was not come by, nor in each clean run", a)
			return true
		}
	}
}

// tryAnother repeats a crash and lets another one follow, while the shop recovers.
func (c *campaign) tryAnother(s *site, a assignment, seen *sighting) bool {
	later := seen.points[seen.deaths[0]:]
	if len(later) == 0 {
		return true
	}
	random := rand.New(rand.NewPCG(a.draw, 0))
	at := later[random.IntN(len(later))]
	victims := at.victims()
	second := crash{at, victims[random.IntN(len(victims))]}
	c.planned.Add(1)
	seen, err := s.crash(c.ctx, a.scenario, a.crash, second)
	if err != nil {
		return c.failf("%s, then %s: %v", a, second, err)
	}
	if seen.happened() {
		c.seconds.Add(1)
	}
	return true
}

// crashSeed is a new one for each run, so that in time all points have their turn.
func crashSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CRASH_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(fmt.Errorf("CRASH_SEED: %w", err))
	}
	return seed
}
