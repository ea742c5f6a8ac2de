//go:build drill

package drills

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// cutFor is longer than the lease of who cannot be reached.
const cutFor = 30 * time.Second

// cutOffLeader heals the network when the leader has been replaced.
func cutOffLeader(t *testing.T, s *scene) {
	heal := cutOff(t, s.leader)
	shoptest.Rest(t.Context(), cutFor)
	heal()
	s.load.loyal.haunt(t, s)
}

// The chains of rules that are made here, and removed again.
var cutChains = map[string]string{"OUTPUT": "BOOKSTORE-DRILL-OUT", "INPUT": "BOOKSTORE-DRILL-IN"}

// cutOff drops what a member sends and what is sent to it. Members share the machine's
// network, so packets are told apart by whose they are: those of the control groups of the
// member's containers (its fence's among them), and those to its two ports. What the member
// says to itself goes on, as it would on a host without a network.
func cutOff(t *testing.T, m cluster.Member) (heal func()) {
	t.Helper()
	api, err := url.Parse(m.APIURL)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := controlGroups(t, m)
	if err != nil {
		t.Fatal(err)
	}
	_ = mend() // of a drill that could not do it itself; else there is nothing to mend
	heal = sync.OnceFunc(func() {
		if err := mend(); err != nil {
			t.Errorf("mend the network: %v", err)
		}
	})
	t.Cleanup(heal)
	for _, rule := range cutRules(groups, strconv.Itoa(m.Port)+","+api.Port()) {
		if _, err := cluster.Command("iptables", append([]string{"-w", "5"}, strings.Fields(rule)...)...); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("cut %s off, of %d containers", m.Name, len(groups))
	return heal
}

// controlGroups are those of a member's containers, as paths below the unified hierarchy's root.
func controlGroups(t *testing.T, m cluster.Member) (paths []string, err error) {
	t.Helper()
	for _, container := range siblings(t, m) {
		pid, err := cluster.FirstProcess(container)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			return nil, err
		}
		_, path, _ := strings.Cut(string(text), "0::/")
		path, _, _ = strings.Cut(path, "\n")
		if path == "" {
			return nil, fmt.Errorf("%s has no unified control group of its own: %q", container, text)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// cutRules are arguments of iptables. A connection is marked as the member's, or as within
// it, by its first packet; a cut has marks of its own, since those of an earlier one stay on
// connections that outlived it.
func cutRules(groups []string, ports string) (rules []string) {
	out, in := cutChains["OUTPUT"], cutChains["INPUT"]
	mark := 2 * (1 + rand.Uint32N(1<<30))
	within, cut := fmt.Sprint(mark), fmt.Sprint(mark+1)
	rules = append(rules, "-N "+out, "-N "+in)
	for _, group := range groups {
		rules = append(rules, "-A "+out+" -p tcp -m cgroup --path "+group+" -m multiport --dports "+ports+" -j CONNMARK --set-mark "+within)
	}
	for _, chain := range []string{out, in} {
		rules = append(rules, "-A "+chain+" -m connmark --mark "+within+" -j ACCEPT")
	}
	for _, group := range groups {
		rules = append(rules, "-A "+out+" -m cgroup --path "+group+" -j CONNMARK --set-mark "+cut)
	}
	for _, chain := range []string{out, in} {
		rules = append(rules, "-A "+chain+" -m connmark --mark "+cut+" -j DROP")
	}
	return append(rules,
		"-A "+in+" -p tcp -m multiport --dports "+ports+" -j DROP",
		"-I OUTPUT -j "+out, "-I INPUT -j "+in)
}

// mend removes the chains.
func mend() error {
	var problems []error
	for builtin, chain := range cutChains {
		for _, rule := range [][]string{{"-D", builtin, "-j", chain}, {"-F", chain}, {"-X", chain}} {
			_, err := cluster.Command("iptables", append([]string{"-w", "5"}, rule...)...)
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
