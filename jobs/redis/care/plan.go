package care

import (
	"slices"
	"time"
)

// step is what a node has to do about the slots.
type step string

const (
	nothing step = ""
	// give away all slots: the node is to go, or there are more masters than there should be
	// and it has the fewest.
	give step = "give"
	// yield to a replica: the node is to go, but its slots make a shard that stays; or its host has more masters than the
	// replica's.
	yield step = "yield"
	// take a share of the slots from all masters.
	take step = "take"
	// even out the shares where a give or take was cut off.
	even step = "even"
	// follow the master that has the fewest replicas.
	follow step = "follow"
	// part from the master, which is on the same host, and follow one on another.
	part step = "part"
)

// unevenFor is how long an empty master waits for somebody to even out the shares before it
// follows all the same.
const unevenFor = 5 * time.Minute

// census is the numbers that decide who has to do what.
type census struct {
	holders      map[string]bool // ids of masters that own slots
	most, fewest int             // slots of a holder
	smallest     int             // index of the holder with the fewest, the last of several
	going, after int             // holders beyond the count; those of them behind this node
	spare        int             // index of the first empty master that stays; nowhere
	copies       map[string]int  // replicas that stay, by their master's id
}

func (p picture) census() census {
	c := census{holders: map[string]bool{}, spare: nowhere, copies: map[string]int{}}
	for _, m := range p.members {
		if !m.well() {
			continue
		}
		stays := m.index < p.count
		switch owned := m.slots(); {
		case !m.isMaster():
			if stays {
				c.copies[m.master]++
			}
		case owned > 0:
			if !stays {
				c.going++
				if m.index > p.self.index {
					c.after++
				}
			}
			if len(c.holders) == 0 || owned <= c.fewest {
				c.fewest, c.smallest = owned, m.index
			}
			c.most = max(c.most, owned)
			c.holders[m.id] = true
		case stays && c.spare == nowhere:
			c.spare = m.index
		}
	}
	return c
}

// isEven: shares that differ by a tenth are left alone.
func (c census) isEven() bool { return 10*c.most <= 11*c.fewest }

// due is what this node has to do. calm is for how long the cluster has been whole. Every node
// decides from its own picture, and no two of the same picture decide to move slots at once.
func (p picture) due(calm time.Duration) step {
	me, wanted := p.self.index, p.count/2
	if me == nowhere {
		return nothing
	}
	c := p.census()
	switch {
	case p.self.isMaster() && p.self.slots() > 0:
		return p.holderDue(c, calm)
	case p.self.isMaster():
		// Who follows is no longer told about slots that move, which ends the move: so not meanwhile.
		switch {
		case len(c.holders) >= wanted && (c.isEven() || calm > unevenFor):
			return follow
		case len(c.holders) < wanted && me >= p.count:
			return follow
		case len(c.holders) < wanted && me == c.spare:
			return take
		}
	case me < p.count && p.moves():
		return follow
	case me < p.count && p.partner() != "":
		return part
	}
	return nothing
}

// holderDue is due of a master that owns slots.
func (p picture) holderDue(c census, calm time.Duration) step {
	wanted := p.count / 2
	switch {
	case p.self.index >= p.count && c.after < len(c.holders)-wanted:
		return give
	case p.self.index >= p.count:
		return yield
	case c.going > 0:
		return nothing
	case len(c.holders) > wanted && c.smallest == p.self.index:
		return give
	case len(c.holders) == wanted && !c.isEven() && c.smallest == p.self.index:
		return even
	case len(c.holders) == wanted && c.isEven() && calm > crowdedFor && p.crowded() == p.self.index:
		return yield
	}
	return nothing
}

const (
	// emptyAfter is how long an empty master leaves slots that nobody owns to the node that is
	// born to own them; holderAfter the same for one that has slots. Each index waits stagger longer
	// than the one before.
	emptyAfter  = 15 * time.Second
	holderAfter = 40 * time.Second
	stagger     = 3 * time.Second
)

// claim is what this node takes of the slots that nobody owns. The first half of the nodes are
// born masters: node i owns the i-th part. What stays free because those nodes hold other places
// now, any empty master takes, and where there is none any other.
func (p picture) claim(index int, calm time.Duration) []span {
	masters := p.count / 2
	if !p.self.isMaster() {
		return nil
	}
	after, born := emptyAfter, index < masters
	if p.self.slots() > 0 {
		after, born = holderAfter, false
	}
	switch {
	case calm >= after+time.Duration(index)*stagger:
		return p.unowned(span{0, slots - 1})
	case born:
		return p.unowned(span{index * slots / masters, (index+1)*slots/masters - 1})
	}
	return nil
}

// leader is the master that this node should follow: one with the fewest replicas, on another host where there is one. Of
// several it is the one by half the nodes before this one, as they are placed (services/operator/provide), else by the lowest
// slots; nodes that choose at the same moment are spread by their index.
func (p picture) leader(index int) (id string, ok bool) {
	copies := p.census().copies
	var candidates []member
	for _, m := range p.members {
		if m.id == p.self.id || !m.isMaster() || m.has("fail") || m.has("fail?") || len(m.owned) == 0 {
			continue
		}
		if len(candidates) > 0 && copies[m.id] < copies[candidates[0].id] {
			candidates = nil
		}
		if len(candidates) == 0 || copies[m.id] == copies[candidates[0].id] {
			candidates = append(candidates, m)
		}
	}
	here := func(m member) bool { return m.host() == p.self.host() }
	if !slices.ContainsFunc(candidates, func(m member) bool { return !here(m) }) {
		here = func(member) bool { return false }
	}
	candidates = slices.DeleteFunc(candidates, here)
	if len(candidates) == 0 {
		return "", false
	}
	if at := slices.IndexFunc(candidates, func(m member) bool { return m.index == index-p.count/2 }); at >= 0 {
		return candidates[at].id, true
	}
	sortBySlot(candidates)
	return candidates[index%len(candidates)].id, true
}
