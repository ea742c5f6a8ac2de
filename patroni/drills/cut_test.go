//go:build drill

package drills

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutFor is longer than the lease of who cannot be reached.
const cutFor = 30 * time.Second

// cut drops what a member sends and what is sent to it. Members share the machine's network,
// so that packets are told apart by whose they are: the member's processes (its fence is one
// of them) move to a control group of their own, which covers connections that they make
// from then on; those that are open are named one by one; and its two ports are closed to
// others. What the group says to its own ports goes on, as it would on a host without a
// network.
type cut struct {
	group string         // folder of the control group
	homes map[int]string // where each process was
	rules [][]string
}

// cutOffLeader heals the network when the leader has been replaced.
func cutOffLeader(t *testing.T, s *scene) {
	heal := cutOff(t, s.leader)
	rest(t, cutFor)
	heal()
	s.load.loyal.haunt(t, s)
}

// The names of what is made here, and removed again.
const (
	cutGroup = "bookstore-drill"
	cutMark  = "0xd1"
	unified  = "/sys/fs/cgroup/unified"
)

func cutOff(t *testing.T, m member) (heal func()) {
	t.Helper()
	rest, err := url.Parse(m.APIURL)
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{group: unified + "/" + cutGroup, homes: map[int]string{}}
	heal = sync.OnceFunc(func() {
		if err := c.heal(); err != nil {
			t.Errorf("mend the network: %v", err)
		}
	})
	t.Cleanup(heal)
	if err := errors.Join(c.move(t, m), c.drop(strconv.Itoa(m.Port), rest.Port())); err != nil {
		t.Fatalf("cut %s off: %v", m.Name, err)
	}
	t.Logf("cut %s off: %d processes, %d rules", m.Name, len(c.homes), len(c.rules))
	return heal
}

// move puts the member's processes into the group; what they begin is born there.
func (c *cut) move(t *testing.T, m member) error {
	if err := os.MkdirAll(c.group, 0o755); err != nil {
		return err
	}
	for _, container := range siblings(t, m) {
		pids, err := processes(container)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			home, err := home(pid)
			if err != nil {
				continue // it has ended
			}
			if err := enter(c.group, pid); err == nil {
				c.homes[pid] = home
			}
		}
	}
	return nil
}

// home is the folder of a process's control group.
func home(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return unified + path, nil
		}
	}
	return "", errors.New("no unified control group: the machine has none")
}

func enter(group string, pid int) error {
	return os.WriteFile(group+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0)
}

// drop makes the rules. They stand before all others, in reverse order.
func (c *cut) drop(ports ...string) error {
	var rules [][]string
	rule := func(chain string, what ...string) { rules = append(rules, append([]string{chain}, what...)) }
	own := []string{"-p", "tcp", "-m", "cgroup", "--path", cutGroup, "-m", "multiport", "--dports", strings.Join(ports, ",")}
	rule("OUTPUT", append(own, "-j", "CONNMARK", "--set-mark", cutMark)...)
	rule("OUTPUT", "-m", "connmark", "--mark", cutMark, "-j", "ACCEPT")
	rule("INPUT", "-m", "connmark", "--mark", cutMark, "-j", "ACCEPT")
	rule("OUTPUT", "-m", "cgroup", "--path", cutGroup, "-j", "DROP")
	rule("INPUT", "-p", "tcp", "-m", "multiport", "--dports", strings.Join(ports, ","), "-j", "DROP")
	rule("OUTPUT", "-p", "tcp", "-m", "multiport", "--sports", strings.Join(ports, ","), "-j", "DROP")
	for port := range c.open() {
		rule("OUTPUT", "-p", "tcp", "--sport", port, "-j", "DROP")
		rule("INPUT", "-p", "tcp", "--dport", port, "-j", "DROP")
	}
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		if _, err := command("iptables", append([]string{"-w", "5", "-I"}, r...)...); err != nil {
			return err
		}
		c.rules = append(c.rules, r)
	}
	return nil
}

var owner = regexp.MustCompile(`pid=(\d+)`)

// open are the local ports of the connections that the group's processes had before.
func (c *cut) open() map[string]bool {
	text, _ := command("ss", "-Htnp", "state", "established") // without it only the old connections stay
	ports := map[string]bool{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for _, match := range owner.FindAllStringSubmatch(line, -1) {
			pid, err := strconv.Atoi(match[1])
			if _, ours := c.homes[pid]; err == nil && ours && len(f) > 2 {
				ports[f[2][strings.LastIndex(f[2], ":")+1:]] = true
			}
		}
	}
	return ports
}

// heal removes the rules and takes the processes back to where they were.
func (c *cut) heal() error {
	var problems []error
	for i := len(c.rules) - 1; i >= 0; i-- {
		_, err := command("iptables", append([]string{"-w", "5", "-D"}, c.rules[i]...)...)
		problems = append(problems, err)
	}
	text, err := os.ReadFile(c.group + "/cgroup.procs")
	problems = append(problems, err)
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			continue
		}
		to := c.homes[pid]
		if to == "" {
			to = unified
		}
		problems = append(problems, enter(to, pid))
	}
	return errors.Join(append(problems, os.Remove(c.group))...)
}
