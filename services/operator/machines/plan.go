package machines

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bookstore/services/operator/provide"
)

// jobs are those whose instances have a volume each, which ties them to a machine, in the order in which they move.
var jobs = []string{"patroni", "redis"}

// instance is a member of the database or a node of Redis: it is where its volume is.
type instance struct {
	job   string
	index int
}

func (i instance) volume() string { return provide.PerInstance(i.job, i.index) }

// move is a step: an instance goes from one node of Nomad to another.
type move struct {
	instance
	from, to string
}

// room is what a machine has left, or an instance needs: MHz, and MB of memory and disk.
type room struct{ cpu, memory, disk int64 }

func (r room) holds(other room) bool {
	return r.cpu >= other.cpu && r.memory >= other.memory && r.disk >= other.disk
}

func (r room) minus(other room) room {
	return room{r.cpu - other.cpu, r.memory - other.memory, r.disk - other.disk}
}

// placement is where instances are, and where they may go.
type placement struct {
	at      map[instance]string
	hosts   []string          // the nodes that take work, in the order of their names
	names   map[string]string // of nodes
	room    map[string]room   // that nodes have left
	needs   map[string]room   // of an instance, by job
	leader  instance          // of the database
	partner map[int][]int     // nodes of Redis with the same slots
}

// count is how many instances of a job a node has; of all jobs if job is "".
func (p placement) count(node, job string) (n int) {
	for i, at := range p.at {
		if at == node && (job == "" || i.job == job) {
			n++
		}
	}
	return n
}

// on are the instances on a node in the order in which they go: job by job, the database's leader after the other members, by index.
func (p placement) on(node string) (all []instance) {
	for i, at := range p.at {
		if at == node {
			all = append(all, i)
		}
	}
	last := map[bool]int{true: 1}
	slices.SortFunc(all, func(a, b instance) int {
		return cmp.Or(cmp.Compare(slices.Index(jobs, a.job), slices.Index(jobs, b.job)),
			cmp.Compare(last[a == p.leader], last[b == p.leader]), cmp.Compare(a.index, b.index))
	})
	return all
}

// beside tells whether a node of Redis would be on one host with another that has the same slots.
func (p placement) beside(i instance, node string) bool {
	return i.job == "redis" && slices.ContainsFunc(p.partner[i.index], func(other int) bool { return p.at[instance{i.job, other}] == node })
}

// best is the node that has the fewest of a job's instances, of those with room for one more; of several one that has no partner of
// it, then the one with the fewest of all jobs.
func (p placement) best(i instance) (node string, err error) {
	var full []string
	var fit []string
	for _, host := range p.hosts {
		switch {
		case host == p.at[i]:
		case p.room[host].holds(p.needs[i.job]):
			fit = append(fit, host)
		default:
			full = append(full, p.names[host])
		}
	}
	if len(fit) == 0 {
		need := p.needs[i.job]
		return "", fmt.Errorf("no machine has room for %s (%d MHz, %d MB of memory, %d MB of disk; full: %s): add one, or give them more (BOOKSTORE_MEMORY, BOOKSTORE_CPU)",
			i.volume(), need.cpu, need.memory, need.disk, cmp.Or(strings.Join(full, ", "), "none is left"))
	}
	beside := map[bool]int{true: 1}
	return slices.MinFunc(fit, func(a, b string) int {
		return cmp.Or(cmp.Compare(p.count(a, i.job), p.count(b, i.job)), cmp.Compare(beside[p.beside(i, a)], beside[p.beside(i, b)]),
			cmp.Compare(p.count(a, ""), p.count(b, "")), cmp.Compare(slices.Index(p.hosts, a), slices.Index(p.hosts, b)))
	}), nil
}

// with is the placement after a move.
func (p placement) with(m move) placement {
	p.at, p.room = maps.Clone(p.at), maps.Clone(p.room)
	p.at[m.instance] = m.to
	p.room[m.to] = p.room[m.to].minus(p.needs[m.job])
	return p
}

// leave are the moves after which a node has no instance. The node takes no work any more.
func (p placement) leave(node string) (moves []move, err error) {
	for _, i := range p.on(node) {
		to, err := p.best(i)
		if err != nil {
			return moves, err
		}
		m := move{i, node, to}
		moves, p = append(moves, m), p.with(m)
	}
	return moves, nil
}

// even are the moves after which no node has two instances of a job more than another.
func (p placement) even() (moves []move, err error) {
	for _, job := range jobs {
		for {
			m, ok, err := p.evener(job)
			if err != nil {
				return moves, err
			}
			if !ok {
				break
			}
			moves, p = append(moves, m), p.with(m)
		}
	}
	return moves, nil
}

// evener is one move from the node that has the most of a job's instances; not ok if no node has two fewer.
func (p placement) evener(job string) (m move, ok bool, err error) {
	compare := func(a, b string) int {
		return cmp.Or(cmp.Compare(p.count(a, job), p.count(b, job)), cmp.Compare(p.count(a, ""), p.count(b, "")))
	}
	most, fewest := slices.MaxFunc(p.hosts, compare), slices.MinFunc(p.hosts, compare)
	if p.count(most, job)-p.count(fewest, job) < 2 {
		return m, false, nil
	}
	var full error
	for _, i := range p.on(most) {
		if i.job != job {
			continue
		}
		to, err := p.best(i)
		switch {
		case err != nil:
			full = err
		case p.count(most, job)-p.count(to, job) < 2:
			full = fmt.Errorf("%s has no room for %s: give it more (BOOKSTORE_MEMORY, BOOKSTORE_CPU)", p.names[fewest], i.volume())
		case !ok || p.beside(m.instance, m.to) && !p.beside(i, to):
			m, ok = move{i, most, to}, true
		}
	}
	if ok {
		return m, true, nil
	}
	return m, false, full
}
