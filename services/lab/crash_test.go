package lab_test

import (
	"context"
	"errors"
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

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/lab"
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
	sure     bool   // every clean run reached its point
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

// campaign is the state of the test; its work is spread over shops.
type campaign struct {
	t      *testing.T
	ctx    context.Context
	seed   uint64
	wanted string
	sites  []*site

	failures         atomic.Int64
	planned, seconds atomic.Int64 // second crashes: planned, and reached
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
	wanted := scenarios
	if i := slices.IndexFunc(wanted, func(s scenario) bool { return strings.HasPrefix(c.wanted, s.name) }); i >= 0 {
		wanted = wanted[i : i+1]
	}
	runs := make([][]point, len(wanted)*cleanRuns)
	c.each(len(runs), func(s *site, i int) bool {
		seen, err := s.crash(c.ctx, wanted[i/cleanRuns])
		if err != nil {
			return c.failf("%s, and nobody dies: %v", wanted[i/cleanRuns].name, err)
		}
		runs[i] = seen.points
		return true
	})
	random := rand.New(rand.NewPCG(c.seed, 1))
	for i, what := range wanted {
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

// try makes a crash, twice if its point was not reached the first time: what else is under way
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
			c.failf("%s: its point was not reached", a)
			return true // the shop is well
		case tries == 2:
			c.t.Logf("%s: its point was not reached, nor in each clean run", a)
			return true
		}
	}
}

// tryAnother repeats a crash and lets another one follow, while the shop recovers.
func (c *campaign) tryAnother(s *site, a assignment, seen *trace) bool {
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

// crashSeed is a new one for each run, so that in time all points are tried.
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

// processes are those that are killed.
var processes = []lab.Service{lab.Books, lab.Orders, lab.Payments, lab.Coordinator}

// client sends the requests; it is never killed.
const client = "client"

// The times of a run.
const (
	idleTime   = 5500 * time.Millisecond // in which the messages are recorded that the shop sends without requests
	doubtLimit = 3 * time.Second         // from the restart until no branch is in doubt
	restLimit  = 20 * time.Second        // until all that was begun is finished, on a busy machine
	runLimit   = 90 * time.Second
)

// site is a shop with a proxy on every connection, and one watch that sees all messages.
type site struct {
	shop       *lab.Shop
	watch      *watch
	front      string // the coordinator's address, through a proxy
	restarting sync.Mutex
}

// newSite starts a site; it is learning.
func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{watch: newWatch()}
	s.shop = lab.Start(t, lab.Options{Services: processes, Via: func(l lab.Link, target string) string {
		between := link{string(l.From), l.To}
		if slices.Contains(processes, lab.Service(l.To)) {
			return newHop(t, between, target, s.watch.hold)
		}
		return newWire(t, between, target, s.watch.hold)
	}})
	coordinator := strings.TrimPrefix(s.shop.URL(lab.Coordinator), "http://")
	s.front = "http://" + newHop(t, link{client, string(lab.Coordinator)}, coordinator, s.watch.hold)
	return s
}

// crash runs a scenario in which processes die, one after the other; none makes it a clean
// run.
func (s *site) crash(ctx context.Context, what scenario, crashes ...crash) (*trace, error) {
	var mu sync.Mutex
	var reviving sync.WaitGroup
	var errs []error
	seen := &trace{targets: crashes}
	seen.kill = func(victim lab.Service) {
		s.shop.Kill(victim)
		last := seen.happened()
		reviving.Go(func() {
			err := s.revive(ctx, victim)
			if err == nil && last {
				err = s.noDoubt(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	err := s.run(ctx, what, seen)
	reviving.Wait()
	return seen, errors.Join(append(errs, err)...)
}

// run is one run of a scenario with data of its own, from what it needs to a shop at rest.
func (s *site) run(ctx context.Context, what scenario, seen *trace) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	v := &session{site: s, key: "crash-" + uuid.NewString()}
	err := v.addBooks(ctx, what.stock)
	if err == nil {
		err = v.do(ctx, what.given)
	}
	if err == nil {
		err = s.waitAtRest(ctx)
	}
	if err != nil {
		return fmt.Errorf("before the scenario: %w", err)
	}
	s.watch.begin(seen, v.key)
	err = v.do(ctx, what.when)
	if err == nil {
		err = s.waitAtRest(ctx)
	}
	s.watch.end()
	if err == nil {
		err = v.do(ctx, what.then)
	}
	return err
}

func (s *site) waitAtRest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restLimit)
	defer cancel()
	if err := s.shop.WaitAtRest(ctx); err != nil {
		return fmt.Errorf("not at rest within %s: %w", restLimit, err)
	}
	return nil
}

// revive returns when a process is there again, whoever starts it: it may be killed a
// second time before it is up.
func (s *site) revive(ctx context.Context, name lab.Service) error {
	ctx, cancel := context.WithTimeout(ctx, restLimit)
	defer cancel()
	if err := s.restart(name); err != nil {
		return err
	}
	return s.shop.Ready(ctx, name)
}

func (s *site) restart(name lab.Service) error {
	s.restarting.Lock()
	defer s.restarting.Unlock()
	if s.shop.Running(name) {
		return nil
	}
	return s.shop.Restart(name)
}

// noDoubt requires of the shop, once all processes run again, that what is prepared now is finished within doubtLimit.
func (s *site) noDoubt(ctx context.Context) error {
	left, err := s.prepared(ctx)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, doubtLimit)
	defer cancel()
	return lab.Until(limit, func(context.Context) error {
		now, err := s.prepared(ctx)
		if err != nil {
			return err
		}
		if old := slices.DeleteFunc(now, func(gid string) bool { return !slices.Contains(left, gid) }); len(old) > 0 {
			return fmt.Errorf("%s after all processes ran again these are still prepared: %v", doubtLimit, old)
		}
		return nil
	})
}

func (s *site) prepared(ctx context.Context) ([]string, error) {
	rows, err := s.shop.DB(lab.BookDB).Query(ctx, "select gid from pg_prepared_xacts order by gid")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
