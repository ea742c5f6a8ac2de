//go:build drill

package drills

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
)

// How long the load runs before the harm and after the shop is whole again.
const (
	quiet  = 2 * time.Second
	sequel = 2 * time.Second
)

// mostWait bounds the wait for a whole shop before a drill.
const mostWait = 3 * time.Minute

// TestFailover runs the drills, RUNS rounds of them, and prints what they cost.
func TestFailover(t *testing.T) {
	chosen, rounds := choose(t, os.Getenv("DRILLS")), runs(t)
	p := newPlatform(t)
	var r report
	t.Cleanup(r.print)
	for round := range rounds {
		for _, d := range chosen {
			eventually(t, mostWait, "the shop is whole before the next drill", p.whole)
			t.Run(fmt.Sprintf("%s/%d", d.name, round+1), func(t *testing.T) { d.run(t, p, &r) })
		}
	}
}

func choose(t *testing.T, wanted string) (chosen []drill) {
	t.Helper()
	if wanted == "" || wanted == "all" {
		return drills
	}
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.IndexFunc(drills, func(d drill) bool { return d.name == strings.TrimSpace(name) })
		if i < 0 {
			var known []string
			for _, d := range drills {
				known = append(known, d.name)
			}
			t.Fatalf("DRILLS: there is no drill %q: all, or some of %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, drills[i])
	}
	return chosen
}

func runs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("RUNS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		t.Fatalf("RUNS: %q is not a number of rounds, 1 to 100", text)
	}
	return n
}

// scene is the cluster at the beginning of a drill, and who watches.
type scene struct {
	*platform
	leader   member
	replicas []member // in a random order
	load     *load
	dead     map[string]int // containers that were killed, and their first processes
}

func (d drill) run(t *testing.T, p *platform, r *report) {
	s := &scene{platform: p, dead: map[string]int{}}
	list, err := p.members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Role == "leader" {
			s.leader = m
		} else {
			s.replicas = append(s.replicas, m)
		}
	}
	rand.Shuffle(len(s.replicas), func(i, j int) { s.replicas[i], s.replicas[j] = s.replicas[j], s.replicas[i] })
	s.load = startLoad(t, p, s.leader, list)
	rest(t, quiet)

	harmed := time.Now()
	d.harm(t, s)
	healed := time.Now()
	if err := poll(t.Context(), d.bars.whole, s.risen); err != nil {
		t.Errorf("the shop is not whole again %s after the harm: %v", d.bars.whole, err)
	}
	o := outcome{drill: d.name, whole: time.Since(healed)}
	rest(t, sequel)
	s.load.finish()
	o.measure(s.load, harmed)
	o.judge(t, s, d.bars)
	r.add(o)
}

// rest lets time pass for the load; it is not what makes anything come true.
func rest(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// eventually polls until check is nil.
func eventually(t *testing.T, within time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), within, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, within, err)
	}
}

// poll returns nil once check does, else what it said last before the time was up.
func poll(ctx context.Context, within time.Duration, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}
