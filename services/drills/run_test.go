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

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/hosts"
)

// How long the load runs before the harm and after the shop is whole again.
const (
	quiet  = 2 * time.Second
	sequel = 2 * time.Second
)

// mostWait bounds the wait for a whole shop before a drill.
const mostWait = 3 * time.Minute

// TestDrills runs the scenarios that DRILLS names, RUNS rounds of them, and prints what they cost.
func TestDrills(t *testing.T) {
	seed := number(t, "DRILL_SEED", defaultSeed, 0, 1<<40)
	table := here()
	chosen, err := table.choose(os.Getenv("DRILLS"), seed)
	if err != nil {
		t.Fatal(err)
	}
	takeTokens(t)
	r := report{table: table}
	t.Cleanup(r.print)
	for round := range number(t, "RUNS", 1, 1, 100) {
		for _, c := range chosen {
			waitWhole(t, mostWait, "the shop is whole before the drill")
			t.Run(fmt.Sprintf("%s/%d", c.name, round+1), func(t *testing.T) {
				if c.story != nil {
					c.story(t)
				} else {
					c.run(t, rand.New(rand.NewPCG(uint64(seed), uint64(round))), &r)
				}
			})
		}
	}
}

// waitWhole polls until nothing of the shop is missing.
func waitWhole(t *testing.T, within time.Duration, what string) {
	t.Helper()
	shoptest.Eventually(t, within, what, func(ctx context.Context) error { return cluster.Whole(ctx, t) })
}

// defaultSeed draws a coordinator's and a replica's death.
const defaultSeed = 48

// table is the scenarios of one kind of shop.
type table struct {
	scenarios []scenario
	drawn     int // how many of the group drawn run where none is named
}

// here are the scenarios of the shop that is in use.
func here() table {
	if hosts.InUse() {
		return table{hostScenarios, 3}
	}
	return table{scenarios, 2}
}

// choose returns the scenarios that are wanted, each once, in the order of the table.
func (all table) choose(wanted string, seed int) (chosen []scenario, err error) {
	var names []string
	for name := range strings.SplitSeq(wanted, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{drawn, always}
	}
	picked := map[string]bool{}
	for _, name := range names {
		if name == drawn {
			names = append(names, all.draw(seed)...)
			continue
		}
		found := name == always
		for _, c := range all.scenarios {
			if name == c.name || name == "all" || slices.Contains(c.groups, name) {
				picked[c.name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("DRILLS: there is no drill %q: all, %s", name, all.known())
		}
	}
	for _, c := range all.scenarios {
		if picked[c.name] || slices.Contains(names, c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// draw picks some of the group drawn.
func (all table) draw(seed int) (names []string) {
	var group []string
	for _, c := range all.scenarios {
		if slices.Contains(c.groups, drawn) {
			group = append(group, c.name)
		}
	}
	for _, i := range rand.New(rand.NewPCG(uint64(seed), 0)).Perm(len(group))[:all.drawn] {
		names = append(names, group[i])
	}
	return names
}

func (all table) known() string {
	names := []string{drawn}
	for _, c := range all.scenarios {
		for _, group := range c.groups {
			if !slices.Contains(names, group) {
				names = append(names, group)
			}
		}
	}
	for _, c := range all.scenarios {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// takeTokens sets the tokens of the API where nobody did.
func takeTokens(t *testing.T) {
	t.Helper()
	for variable, name := range map[string]string{"BOOKSTORE_TEST_TOKEN": "test_token", "BOOKSTORE_OPERATOR_TOKEN": "operator_token"} {
		if os.Getenv(variable) != "" {
			continue
		}
		items, _, err := cluster.Nomad(t).Variables().GetVariableItems("nomad/jobs/gateway", nil)
		if err != nil {
			t.Fatalf("read the tokens of the API (is the shop up?): %v", err)
		}
		t.Setenv(variable, items[name])
	}
}

// number is the one of a variable of the environment.
func number(t *testing.T, variable string, otherwise, least, most int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		t.Fatalf("%s: %q is not a number from %d to %d", variable, text, least, most)
	}
	return n
}

// scene is the shop at the beginning of a drill, and its load.
type scene struct {
	random   *rand.Rand
	victim   hosts.Host // of the lab: the one that has the leader
	leader   cluster.Member
	replicas []cluster.Member // in a random order
	load     *load
	watch    *watch         // of the lab's members
	burst    func()         // has a burst of orders under way, where the scenario has one
	killed   cluster.Killed // containers
}

func (c scenario) run(t *testing.T, random *rand.Rand, r *report) {
	if c.before != nil {
		c.before(t)
	}
	s := &scene{random: random, killed: cluster.Killed{}, burst: func() {}}
	list, err := cluster.Members(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Leads() {
			s.leader = m
		} else {
			s.replicas = append(s.replicas, m)
		}
	}
	random.Shuffle(len(s.replicas), func(i, j int) { s.replicas[i], s.replicas[j] = s.replicas[j], s.replicas[i] })
	if hosts.InUse() {
		s.victim = hostOf(t, s.leader)
	}
	s.load = startLoad(t, c, s.leader, list)
	if hosts.InUse() {
		s.load.shop.Shop.StartAt(s.victim)
		s.watch = watchMembers(t)
	}
	if c.burst {
		s.burst = s.load.burst
	}
	shoptest.Rest(t.Context(), quiet)
	s.load.shop.More(t, shoptest.Orders, 10)

	harmed := time.Now()
	c.harm(t, s)
	healed := time.Now()
	if err := shoptest.Poll(t.Context(), c.bars.whole, func(ctx context.Context) error { return s.restored(ctx, t) }); err != nil {
		t.Errorf("the shop is not whole again %s after the harm: %v", c.bars.whole, err)
	}
	o := outcome{scenario: c.name, whole: time.Since(healed)}
	shoptest.Rest(t.Context(), sequel)
	s.load.finish()
	s.watch.finish()
	o.measure(s.load, harmed)
	o.judge(t, s, c.bars)
	r.add(o)
}

// restored is nil when every container that was killed runs anew and nothing is missing.
func (s *scene) restored(ctx context.Context, t *testing.T) error {
	if err := s.killed.RunAnew(); err != nil {
		return err
	}
	return cluster.Whole(ctx, t)
}

func TestChoose(t *testing.T) {
	for wanted, want := range map[string]string{
		"":                        "coordinator-killed redis-master-killed replica-killed redis-gone redis-moved chaos",
		"drawn":                   "coordinator-killed replica-killed",
		"chaos, books-killed":     "books-killed chaos",
		"books-killed,services":   "books-killed gateway-killed coordinator-killed redis-master-killed leader-killed replica-killed",
		"leader-killed,no-such":   "",
		"leader-silent,replica-x": "",
	} {
		chosen, err := table{scenarios, 2}.choose(wanted, defaultSeed)
		var names []string
		for _, c := range chosen {
			names = append(names, c.name)
		}
		if strings.Join(names, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%q: %v %v, want %s", wanted, names, err, want)
		}
	}
	for name, n := range map[string]int{failover: 16, "all": len(scenarios)} {
		if chosen, err := (table{scenarios, 2}).choose(name, defaultSeed); err != nil || len(chosen) != n {
			t.Errorf("%s: %d scenarios, %v", name, len(chosen), err)
		}
	}
	seen := map[string]bool{failover: true, services: true, always: true, drawn: true, "all": true}
	for _, c := range append(slices.Clone(scenarios), hostScenarios...) {
		if seen[c.name] || (c.harm == nil) == (c.story == nil) {
			t.Errorf("scenario %q: its name is another's, or it is not one of the two kinds", c.name)
		}
		seen[c.name] = true
	}
}
