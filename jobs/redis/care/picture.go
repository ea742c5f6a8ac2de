package care

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// slots is how many a Redis Cluster has, by its protocol.
const slots = 16384

// nowhere is the index of a node that Consul does not list.
const nowhere = 999

// member is a node as Redis' own table describes it (CLUSTER NODES).
type member struct {
	id, addr  string // addr: host:port for clients
	index     int    // the job's index of the node; nowhere
	flags     []string
	master    string // of a replica the id of its master
	connected bool
	owned     []span
	open      []string // slots whose move has begun here and not ended, as the table writes them
}

// span is a range of slots, first and last included.
type span struct{ first, last int }

// picture is what one node knows at one moment: Redis' table and what Consul says.
type picture struct {
	members []member // by index
	peers   []peer
	count   int // how many nodes there should be
	self    member
}

func (m member) has(flag string) bool { return slices.Contains(m.flags, flag) }

// well: a node that is suspected alone ("fail?") is not.
func (m member) well() bool {
	return !m.has("fail") && !m.has("fail?") && !m.has("handshake") && !m.has("noaddr")
}

// host is the machine that it is on, by its address.
func (m member) host() string {
	host, _, _ := net.SplitHostPort(m.addr)
	return host
}

func (m member) isMaster() bool { return m.has("master") }

func (m member) slots() (total int) {
	for _, s := range m.owned {
		total += s.last - s.first + 1
	}
	return total
}

// draw reads Redis' table and gives each node the index that Consul knows it by.
func draw(table string, peers []peer, count int) (picture, error) {
	p := picture{peers: peers, count: count}
	for line := range strings.Lines(table) {
		m, err := parseMember(line)
		if err != nil {
			return picture{}, err
		}
		m.index = nowhere
		for _, peer := range peers {
			if peer.addr == m.addr {
				m.index = peer.index
			}
		}
		p.members = append(p.members, m)
		if m.has("myself") {
			p.self = m
		}
	}
	if p.self.id == "" {
		return picture{}, fmt.Errorf("the table of nodes has not the node itself: %q", table)
	}
	slices.SortStableFunc(p.members, func(a, b member) int { return cmp.Compare(a.index, b.index) })
	return p, nil
}

// parseMember reads a line: id host:port@bus[,name] flags master ping pong epoch link [slots…].
func parseMember(line string) (member, error) {
	words := strings.Fields(line)
	if len(words) < 8 {
		return member{}, fmt.Errorf("%q is no line of the table of nodes", line)
	}
	addr, _, _ := strings.Cut(words[1], "@")
	m := member{
		id: words[0], addr: addr, flags: strings.Split(words[2], ","), master: words[3],
		connected: words[7] == "connected",
	}
	for _, word := range words[8:] {
		if strings.HasPrefix(word, "[") {
			m.open = append(m.open, word)
			continue
		}
		first, last, ranged := strings.Cut(word, "-")
		if !ranged {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return member{}, fmt.Errorf("slots of %q: %w", line, err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return member{}, fmt.Errorf("slots of %q: %w", line, err)
		}
		m.owned = append(m.owned, span{from, to})
	}
	return m, nil
}

// whole tells whether as many nodes as there should be are there and well.
func (p picture) whole() bool {
	there := 0
	for _, m := range p.members {
		if m.well() && m.connected {
			there++
		}
	}
	return there >= p.count
}

// byID is the zero member where nobody has the id.
func (p picture) byID(id string) member {
	for _, m := range p.members {
		if m.id == id {
			return m
		}
	}
	return member{}
}

// strangers are the peers that Redis does not know at their address.
func (p picture) strangers() (unknown []peer) {
	for _, peer := range p.peers {
		if !slices.ContainsFunc(p.members, func(m member) bool { return m.addr == peer.addr }) {
			unknown = append(unknown, peer)
		}
	}
	return unknown
}

// gone are the nodes that failed for good and whose address is no peer's.
func (p picture) gone() (dead []member) {
	for _, m := range p.members {
		if (m.has("fail") || m.has("noaddr")) && m.index == nowhere {
			dead = append(dead, m)
		}
	}
	return dead
}

// unowned are the slots of a span that no node owns.
func (p picture) unowned(within span) (free []span) {
	var owned [slots]bool
	for _, m := range p.members {
		for _, s := range m.owned {
			for slot := s.first; slot <= s.last; slot++ {
				owned[slot] = true
			}
		}
	}
	for slot := within.first; slot <= within.last; slot++ {
		switch last := len(free) - 1; {
		case owned[slot]:
		case last >= 0 && free[last].last == slot-1:
			free[last].last = slot
		default:
			free = append(free, span{slot, slot})
		}
	}
	return free
}

// String has a line for each node that is well: index, id, role, number of slots, master.
func (p picture) String() string {
	var text strings.Builder
	for _, m := range p.members {
		if !m.well() {
			continue
		}
		role := "replica"
		if m.isMaster() {
			role = "master"
		}
		fmt.Fprintf(&text, "%d %s %s %d %s\n", m.index, m.id, role, m.slots(), m.master)
	}
	return text.String()
}
