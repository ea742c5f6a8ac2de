//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	s.load.deposed.useAgain(t, s)
}

// The chains of rules that are made here, and removed again.
var cutChains = map[string]string{"OUTPUT": "BOOKSTORE-DRILL-OUT", "INPUT": "BOOKSTORE-DRILL-IN"}

// cutOff drops what a member sends and what is sent to it. Members share the machine's
// network, so packets are selected by their owner: those of the control groups of the
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

const (
	// silentFor is how long the leader's host stays away, unless SILENT_FOR says otherwise: long enough
	// that what only keepalives and TCP's own repeats end would still wait.
	silentFor = 90 * time.Second
	// finishWithin is how long a transaction may be unfinished, whatever vanished.
	finishWithin = 30 * time.Second
)

// away is how long the leader's host is to be silent.
func away(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SILENT_FOR")
	if text == "" {
		return silentFor
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= finishWithin {
		t.Fatalf("SILENT_FOR=%q: a duration of more than %s", text, finishWithin)
	}
	return d
}

// silenceLeader has the leader's host vanish without a packet and stay away. While it is away, no transaction
// may be unfinished for longer than finishWithin.
func silenceLeader(t *testing.T, s *scene) {
	silent, began := away(t), time.Now()
	heal := cutOff(t, s.leader)
	shoptest.Rest(t.Context(), finishWithin)
	for time.Since(began) < silent {
		var old int
		shoptest.Eventually(t, 10*time.Second, "the new leader answers what is unfinished", func(ctx context.Context) (err error) {
			old, err = s.old(ctx)
			return err
		})
		if old > 0 {
			t.Fatalf("%d transactions are unfinished for more than %s, %s after the leader's host vanished",
				old, finishWithin, time.Since(began).Round(time.Second))
		}
		shoptest.Rest(t.Context(), time.Second)
	}
	heal()
	s.load.deposed.useAgain(t, s)
}

// old counts transactions that are unfinished for too long, by the coordinators' records and by PostgreSQL.
func (s *scene) old(ctx context.Context) (int, error) {
	attempts, err := s.number(ctx, "coordinatordb", `select count(*) from transactions
		where finished_at is null and created_at < now() - $1::interval`, finishWithin)
	if err != nil {
		return 0, err
	}
	prepared, err := s.number(ctx, "postgres", "select count(*) from pg_prepared_xacts where prepared < now() - $1::interval", finishWithin)
	return attempts + prepared, err
}

const (
	// awayFor is longer than any session lives: the leader stays because its members say so.
	awayFor = time.Minute
	// heldFor is how long members keep that promise (ttl): until then nobody else can lead.
	heldFor = 20 * time.Second
)

// What started Consul, and where that keeps its process's id.
const (
	consulStart = "60-consul.sh"
	consulPID   = "/run/bookstore/consul.pid"
)

// takeConsulAway ends Consul's one server and starts it again after a minute.
func takeConsulAway(t *testing.T, _ *scene) {
	text, err := os.ReadFile(consulPID)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("%s: %v", consulPID, err)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(name)) != "consul" {
		t.Fatalf("process %d is %q, not consul: %v", pid, name, err)
	}
	t.Cleanup(func() { startConsul(t) })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	shoptest.Eventually(t, 30*time.Second, "Consul ends", func(context.Context) error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New("it runs")
		}
		return nil
	})
	shoptest.Rest(t.Context(), awayFor)
	startConsul(t)
	shoptest.Rest(t.Context(), heldFor)
}

// startConsul does nothing where it runs.
func startConsul(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := cluster.Script(ctx, consulStart).CombinedOutput(); err != nil {
		t.Errorf("start Consul: %v\n%s", err, out)
	}
}
