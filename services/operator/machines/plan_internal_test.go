package machines

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// spread are five members and six nodes of Redis on the nodes that are named, host by host and in turn; node i+3 of Redis has the
// slots of node i.
func spread(hosts ...string) placement {
	p := placement{
		at: map[instance]string{}, names: map[string]string{}, room: map[string]room{}, partner: map[int][]int{},
		needs: map[string]room{"patroni": {400, 500, 300}, "redis": {50, 64, 300}},
		hosts: hosts, leader: instance{"patroni", 0},
	}
	for _, host := range hosts {
		p.names[host], p.room[host] = "the machine "+host, room{4000, 4000, 10000}
	}
	for i := range 5 {
		p.at[instance{"patroni", i}] = hosts[i%len(hosts)]
	}
	for i := range 6 {
		p.at[instance{"redis", i}] = hosts[(i+i/3)%len(hosts)]
		p.partner[i] = []int{(i + 3) % 6}
	}
	return p
}

func counts(p placement, job string) (all []int) {
	for _, host := range p.hosts {
		all = append(all, p.count(host, job))
	}
	return all
}

// after is the placement after moves, each of which goes from where its instance is to another machine that takes work.
func after(t *testing.T, p placement, moves []move) placement {
	t.Helper()
	for _, m := range moves {
		if p.at[m.instance] != m.from || m.from == m.to || !slices.Contains(p.hosts, m.to) {
			t.Errorf("%s goes from %s to %s, and is on %s", m.volume(), m.from, m.to, p.at[m.instance])
		}
		p = p.with(m)
	}
	return p
}

// requireEven fails unless the machines have members and nodes as even as can be.
func requireEven(t *testing.T, p placement) {
	t.Helper()
	for _, job := range jobs {
		if all := counts(p, job); slices.Max(all)-slices.Min(all) > 1 {
			t.Errorf("%s: %v on the machines", job, all)
		}
	}
}

// From any number of machines to any other one after the other, members are even and no move is in vain.
func TestMachinesComeAndGo(t *testing.T) {
	t.Parallel()
	for from := 2; from <= 6; from++ {
		for to := from + 1; to <= 7; to++ {
			t.Run(fmt.Sprintf("%d machines to %d and back", from, to), func(t *testing.T) {
				t.Parallel()
				p := spread(strings.Split("abcdefg", "")[:from]...)
				for n := from; n < to; n++ {
					host := string("abcdefg"[n])
					p.hosts, p.room, p.names = append(slices.Clone(p.hosts), host), maps.Clone(p.room), maps.Clone(p.names)
					p.room[host], p.names[host] = room{4000, 4000, 10000}, "the machine "+host
					moves, err := p.even()
					if err != nil {
						t.Fatal(err)
					}
					if slices.ContainsFunc(moves, func(m move) bool { return m.instance == p.leader }) {
						t.Errorf("the leader moves to make %d machines even", n+1)
					}
					p = after(t, p, moves)
					requireEven(t, p)
					if more, err := p.even(); err != nil || len(more) > 0 {
						t.Errorf("what is even is moved: %v, %v", more, err)
					}
				}
				for _, goes := range p.hosts[:to-from] {
					p.hosts = slices.DeleteFunc(slices.Clone(p.hosts), func(host string) bool { return host == goes })
					moves, err := p.leave(goes)
					if err != nil {
						t.Fatal(err)
					}
					p = after(t, p, moves)
					if left := p.on(goes); len(left) > 0 {
						t.Errorf("%v are left on %s", left, goes)
					}
					requireEven(t, p)
				}
			})
		}
	}
}

// Of machines with as few nodes one is chosen that has none with the same slots, and of nodes one for which there is such a machine.
func TestNodesWithTheSameSlotsAreApart(t *testing.T) {
	t.Parallel()
	node := func(i int) instance { return instance{"redis", i} }
	p := spread("a", "b", "c")
	p.at = map[instance]string{node(0): "a", node(3): "b", node(1): "c"}
	if to, err := p.best(node(0)); err != nil || to != "c" {
		t.Errorf("node 0, whose partner is on b, goes to %s, %v", to, err)
	}
	p = spread("a", "b")
	p.at = map[instance]string{node(0): "a", node(1): "a", node(3): "b"}
	if moves, err := p.even(); err != nil || len(moves) != 0 {
		t.Errorf("two and one are even: %v, %v", moves, err)
	}
	p.at = map[instance]string{node(0): "a", node(1): "a", node(2): "a", node(3): "b"}
	if moves, err := p.even(); err != nil || len(moves) != 1 || moves[0] != (move{node(1), "a", "b"}) {
		t.Errorf("%v, %v", moves, err)
	}
}

// Of a machine that goes the leader moves after the other members.
func TestTheLeaderGoesLast(t *testing.T) {
	t.Parallel()
	p := spread("a", "b")
	all := p.on("a")
	if want := []instance{{"patroni", 2}, {"patroni", 4}, {"patroni", 0}}; !slices.Equal(all[:3], want) {
		t.Errorf("in the order %v", all)
	}
}

// Where no machine has room nothing is planned, and the error says what is needed.
func TestWithoutRoom(t *testing.T) {
	t.Parallel()
	p := spread("a", "b", "c")
	p.hosts = []string{"b", "c"}
	p.room["b"], p.room["c"] = room{399, 4000, 10000}, room{4000, 499, 10000}
	if moves, err := p.leave("a"); err == nil || len(moves) > 0 || !strings.Contains(err.Error(), "500 MB of memory") || !strings.Contains(err.Error(), "the machine b, the machine c") {
		t.Errorf("%v, %v", moves, err)
	}
	// Room for one of two is not enough.
	p.room["b"] = room{400, 500, 10000}
	if moves, err := p.leave("a"); err == nil || len(moves) != 1 {
		t.Errorf("%v, %v", moves, err)
	}

	p = spread("a", "b", "c")
	p.hosts = append(p.hosts, "d")
	p.names["d"], p.room["d"] = "the machine d", room{}
	if moves, err := p.even(); err == nil || len(moves) > 0 || !strings.Contains(err.Error(), "the machine d has no room for patroni[") {
		t.Errorf("%v, %v", moves, err)
	}
}
