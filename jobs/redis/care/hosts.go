package care

import (
	"slices"
	"time"
)

// What is about hosts: no replica on its master's host, whose death would take the shard, and no host with many more masters than
// another, since a majority of the masters elects a replica of a dead one.

// crowdedFor is how long a cluster has been whole before masters change hosts: a host that is back is done with its start.
const crowdedFor = 10 * time.Second

// replicas are those of a master that are well and stay, by index.
func (p picture) replicas(master string) (all []member) {
	for _, m := range p.members {
		if m.well() && !m.isMaster() && m.master == master && m.index < p.count {
			all = append(all, m)
		}
	}
	return all
}

// holders are the masters that own slots and are well, by index.
func (p picture) holders() (all []member) {
	for _, m := range p.members {
		if m.well() && m.isMaster() && len(m.owned) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// moves tells whether this replica is the one of several of its master that goes to a master without any: the last that is on
// another host than that one, or just the last.
func (p picture) moves() bool {
	mine := p.replicas(p.self.master)
	if len(mine) < 2 {
		return false
	}
	for _, master := range p.holders() {
		if len(p.replicas(master.id)) > 0 {
			continue
		}
		going := mine[len(mine)-1]
		for _, m := range mine {
			if m.host() != master.host() {
				going = m
			}
		}
		return going.index == p.self.index
	}
	return false
}

// partner is the master that this replica should follow because its own is on the same host; "" if all is as it should be or cannot be
// better. That master then has a replica too many, and one of them, on a host of its own, goes to the master that was left. The
// first replica of several acts, when every master has one.
func (p picture) partner() string {
	holders := p.holders()
	if len(holders) != p.count/2 {
		return ""
	}
	for _, m := range holders {
		if len(p.replicas(m.id)) == 0 {
			return ""
		}
	}
	for _, m := range p.members {
		if to := p.exchange(m, holders); to != "" {
			if m.index == p.self.index {
				return to
			}
			return ""
		}
	}
	return ""
}

// exchange is the master to which a replica on its master's host can go, so that neither is beside its master afterwards.
func (p picture) exchange(m member, holders []member) string {
	master := p.byID(m.master)
	if !m.well() || m.isMaster() || m.index >= p.count || master.host() != m.host() {
		return ""
	}
	for _, other := range holders {
		apart := func(r member) bool { return r.host() != master.host() }
		if other.host() != m.host() && slices.ContainsFunc(p.replicas(other.id), apart) {
			return other.id
		}
	}
	return ""
}

// heir is the replica that should take over this master's slots: any that stays if the master is to go, else one whose host has
// at least two masters fewer.
func (p picture) heir(m member) (member, bool) {
	masters := map[string]int{}
	for _, holder := range p.holders() {
		masters[holder.host()]++
	}
	for _, replica := range p.replicas(m.id) {
		if m.index >= p.count || masters[m.host()]-masters[replica.host()] >= 2 {
			return replica, true
		}
	}
	return member{}, false
}

// crowded is the index of the first master that stays and has an heir; nowhere.
func (p picture) crowded() int {
	for _, m := range p.holders() {
		if _, ok := p.heir(m); ok && m.index < p.count {
			return m.index
		}
	}
	return nowhere
}
